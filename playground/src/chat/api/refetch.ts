import type { Client, Exchange, Operation } from 'urql';
import { onPush, pipe } from 'wonka';

/** Knows what the screen shows, and asks for all of it again. */
export class Shown {
  #queries = new Map<number, Operation>();

  exchange: Exchange =
    ({ forward }) =>
    (operations) =>
      pipe(
        operations,
        onPush((operation) => {
          if (operation.kind === 'query') this.#queries.set(operation.key, operation);
          else if (operation.kind === 'teardown') this.#queries.delete(operation.key);
        }),
        forward,
      );

  fetchAgain(client: Client) {
    for (const query of this.#queries.values())
      client.reexecuteOperation(client.createRequestOperation('query', query, { requestPolicy: 'network-only' }));
  }
}
