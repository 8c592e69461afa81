// The one subscription of the app, `events`: after every cut it goes on where it was. What the events say is applied by
// the cache.
import type { Client as Socket } from 'graphql-ws';
import type { Client, ExecutionResult, SubscriptionForwarder } from 'urql';
import { pipe, subscribe } from 'wonka';
import type { EventsSubscription } from '../../gql/graphql';
import { Events } from './documents';

/** The server says something every 25 s, a heartbeat if nothing else. */
const SILENCE_LIMIT_MS = 60_000;

/** Carries an operation of urql over the socket. */
export function forward(socket: Socket, { query = '', variables: given }: Parameters<SubscriptionForwarder>[0]): ReturnType<SubscriptionForwarder> {
  // graphql-ws sends the same variables object again after a cut: moving `after` in it is what resumes.
  const variables: Record<string, unknown> = { ...given };
  return {
    subscribe: (sink) => {
      let silence: ReturnType<typeof setTimeout> | undefined;
      const heard = () => {
        clearTimeout(silence);
        silence = setTimeout(() => {
          socket.terminate();
          heard();
        }, SILENCE_LIMIT_MS);
      };
      heard();
      const unsubscribe = socket.subscribe(
        { query, variables },
        {
          next: (result) => {
            heard();
            const cursor = (result.data as Partial<EventsSubscription> | null)?.events?.cursor;
            if (cursor) variables.after = cursor;
            sink.next(result as ExecutionResult);
          },
          error: (error) => {
            clearTimeout(silence);
            sink.error(error as Error);
          },
          complete: () => {
            clearTimeout(silence);
            sink.complete();
          },
        },
      );
      return {
        unsubscribe: () => {
          clearTimeout(silence);
          unsubscribe();
        },
      };
    },
  };
}

/** Listens until the function that it returns is called. */
export function listen(client: Client, fetchAnew: () => void): () => void {
  const { unsubscribe } = pipe(
    client.subscription(Events, {}),
    subscribe(({ data }) => {
      if (data?.events.event.__typename === 'ResyncRequired') fetchAnew();
    }),
  );
  return unsubscribe;
}
