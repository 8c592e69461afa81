// The one subscription of the app, `events`: after every cut it goes on where it was. What the events say is applied by
// the cache.
//
// What is fetched before the stream has begun may lack what happened in between: so it begins first. `caughtUp` is told
// then.
import type { Client as Socket } from 'graphql-ws';
import type { Client, CombinedError, ExecutionResult, SubscriptionForwarder } from 'urql';
import { onEnd, pipe, subscribe } from 'wonka';
import type { EventsSubscription } from '../../gql/graphql';
import { Events } from './documents';

/** The server says something every 25 s, a heartbeat if nothing else. */
const SILENCE_LIMIT_MS = 60_000;
/** Before listening again after the server has ended the subscription. */
const PAUSE_MS = 2_000;

/** Carries an operation of urql over the socket. */
export function forward(socket: Socket, { query = '', variables: given }: Parameters<SubscriptionForwarder>[0]): ReturnType<SubscriptionForwarder> {
  // graphql-ws sends the same variables object again after a cut: moving `after` in it is what resumes.
  const variables: Record<string, unknown> = { ...given };
  return {
    subscribe: (sink) => {
      let silence: ReturnType<typeof setTimeout> | undefined;
      const heard = () => {
        clearTimeout(silence);
        silence = setTimeout(() => socket.terminate(), SILENCE_LIMIT_MS);
      };
      const stopTiming = [socket.on('connected', heard), socket.on('closed', () => clearTimeout(silence))];
      const over = () => {
        clearTimeout(silence);
        for (const stop of stopTiming) stop();
      };
      const unsubscribe = socket.subscribe(
        { query, variables },
        {
          next: (result) => {
            heard();
            // Before it is applied, which may wait for answers: what is held is in the memory of this page and not lost.
            const cursor = (result.data as Partial<EventsSubscription> | null)?.events?.cursor;
            if (cursor) variables.after = cursor;
            sink.next(result as ExecutionResult);
          },
          error: (error) => {
            over();
            sink.error(error as Error);
          },
          complete: () => {
            over();
            sink.complete();
          },
        },
      );
      return {
        unsubscribe: () => {
          over();
          unsubscribe();
        },
      };
    },
  };
}

export interface Listening {
  /** Where to go on, if that is known. */
  after: string | null;
  /** Everything is to be fetched anew, and heard from here on. */
  resync(after: string | null): void;
  /** Nothing is missed that happens from now on. */
  caughtUp(): void;
}

/** Listens until the function that it returns is called, going on after an end that the socket does not mend. */
export function listen(client: Client, { after, resync, caughtUp }: Listening): () => void {
  let again: ReturnType<typeof setTimeout> | undefined;
  let unsubscribe = () => {};
  let isOver = false;

  function end(error?: CombinedError) {
    if (isOver) return;
    unsubscribe();
    clearTimeout(again);
    // A cursor that the server does not know leads nowhere: then everything is fetched anew.
    if (error?.graphQLErrors.some(({ extensions }) => extensions?.code === 'BAD_USER_INPUT')) return resync(null);
    again = setTimeout(begin, PAUSE_MS * (1 + Math.random()));
  }

  function begin() {
    ({ unsubscribe } = pipe(
      client.subscription(Events, { after }),
      onEnd(() => end()),
      subscribe(({ data, error }) => {
        if (error) return end(error);
        if (!data) return;
        after = data.events.cursor;
        if (data.events.event.__typename === 'ResyncRequired') resync(after);
        if (data.events.event.__typename === 'CaughtUp') caughtUp();
      }),
    ));
  }

  begin();
  return () => {
    isOver = true;
    clearTimeout(again);
    unsubscribe();
  };
}
