import type { Exchange, OperationResult } from 'urql';
import { concatMap, filter, fromPromise, fromValue, merge, onPush, pipe, share } from 'wonka';

// An answer may be older than an event that overtakes it, and would then take back what the event told. So an event waits
// for the answers that were under way when it came. What is asked later is answered with the event in it.
export const inOrder: Exchange = ({ forward }) => {
  const underWay = new Map<number, Promise<void>>();
  const answered = new Map<number, () => void>();

  const begin = (key: number) => {
    if (underWay.has(key)) return;
    underWay.set(key, new Promise((resolve) => answered.set(key, resolve)));
  };
  const end = (key: number) => {
    answered.get(key)?.();
    answered.delete(key);
    underWay.delete(key);
  };
  const isEvent = (result: OperationResult) => result.operation.kind === 'subscription';

  return (operations) => {
    const results = pipe(
      operations,
      onPush(({ kind, key }) => {
        if (kind === 'teardown') end(key);
        else if (kind !== 'subscription') begin(key);
      }),
      forward,
      share,
    );
    const answers = pipe(
      results,
      filter((result) => !isEvent(result)),
      // A moment later the cache has it.
      onPush(({ operation }) => void setTimeout(end, 0, operation.key)),
    );
    const events = pipe(
      results,
      filter(isEvent),
      concatMap((event) => {
        if (!underWay.size) return fromValue(event);
        return fromPromise(Promise.all(underWay.values()).then(() => event));
      }),
    );
    return merge([answers, events]);
  };
};
