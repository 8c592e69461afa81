// A live subscription: it resumes from its cursor after a cut, and comes back with a fresh token when the old one dies.
import type { OperationDefinitionNode } from 'graphql';
import { createClient, type Client } from 'graphql-ws';
import { current, freshToken, otherToken, SignedOut, watch, type Account } from '../shared/accounts';
import { socketUrl } from '../shared/server';
import { show, showNone } from './connection';
import { failed, words, type Params, type Result } from './result';
import { learn } from './seen';

interface Sink {
  next(shown: object): void;
  complete(): void;
}

// How many events the response pane keeps.
const KEPT = 50;

// A connection on which a ping gets no answer for so long is dead.
const PING_MS = 10_000;
const PONG_MS = 5_000;

export function subscribe(params: Params, operation: OperationDefinitionNode, override: string | undefined) {
  return {
    subscribe(sink: Sink) {
      // The client sends this very object again after a reconnect: moving `after` in it is what resumes.
      const variables = { ...params.variables };
      const resumes = declares(operation, 'after');
      let received = 0;
      let newestFirst: Result[] = [];
      let stopped = false;
      show({ state: 'connecting', received, resumes, reason: undefined });

      const account = override ? null : current();
      const client = connect(override, account, () => stopped);
      const offline = () => client.terminate();
      addEventListener('offline', offline);
      // What one may see is not for whoever comes next.
      const unwatch = watch(() => {
        const now = current();
        if (!override && now?.id !== account?.id) over(now ? `You ask as @${now.username} now.` : 'You ask as nobody now.');
      });
      const end = () => {
        stopped = true;
        removeEventListener('offline', offline);
        unwatch();
        void client.dispose();
      };
      const over = (reason: string) => {
        end();
        show({ state: 'over', reason });
        sink.complete();
      };

      client.subscribe<Record<string, unknown>>(
        { query: params.query, operationName: params.operationName, variables },
        {
          next(result) {
            const { cursor } = (Object.values(result.data ?? {})[0] ?? {}) as { cursor?: string };
            if (resumes && cursor) variables.after = cursor;
            received += 1;
            // The pane is replaced at each event: showing only the last would lose all but one of a quick burst.
            newestFirst = [result, ...newestFirst].slice(0, KEPT);
            learn(result.data);
            show({ state: 'live', received });
            sink.next({ received, newestFirst });
          },
          error(error) {
            if (stopped) return;
            sink.next(received > 0 ? { ...failed(error), received, newestFirst } : failed(error));
            over(words(error));
          },
          complete() {
            if (!stopped) over('The server has ended it.');
          },
        },
      );
      return {
        unsubscribe() {
          end();
          showNone();
        },
      };
    },
  };
}

function connect(override: string | undefined, account: Account | null, isStopped: () => boolean): Client {
  // The token that the server did not take, or that died on the way.
  let refused: string | undefined;
  let token: string | undefined;
  let pongTimeout: ReturnType<typeof setTimeout> | undefined;

  const client = createClient({
    url: socketUrl.href,
    async connectionParams() {
      if (override) return { authorization: override };
      if (!account) return {};
      try {
        token = refused ? await otherToken(account.id, refused) : await freshToken(account.id);
        refused = undefined;
      } catch (error) {
        // Where only the refresh failed, the server refuses the old token, and the next connection tries again.
        if (error instanceof SignedOut) throw error;
        token ??= account.accessToken;
      }
      return { authorization: `Bearer ${token}` };
    },
    retryAttempts: Infinity,
    // The default gives up as soon as a connection is refused, as it is while the server restarts.
    shouldRetry: (error) => !(error instanceof SignedOut),
    async retryWait(retries) {
      await wait(Math.min(250 * 2 ** retries, 5_000) * (0.75 + Math.random() / 2));
      await online();
    },
    keepAlive: PING_MS,
    on: {
      connected: () => show({ state: 'live', reason: undefined }),
      ping: (isReceived) => {
        if (!isReceived) pongTimeout = setTimeout(() => client.terminate(), PONG_MS);
      },
      pong: (isReceived) => {
        if (isReceived) clearTimeout(pongTimeout);
      },
      closed: (event) => {
        clearTimeout(pongTimeout);
        const { code } = event as CloseEvent;
        if (code === 4403) refused = token;
        // The session is over, which the refresh finds out; but another window may have begun a newer one of the account.
        if (code === 1008 && account && token) otherToken(account.id, token).catch(() => {});
        if (!isStopped()) show({ state: 'cut', reason: words(event) });
      },
    },
  });
  return client;
}

const declares = ({ variableDefinitions }: OperationDefinitionNode, name: string) =>
  variableDefinitions?.some(({ variable }) => variable.name.value === name) ?? false;

const wait = (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds));

// Without a network there is nothing to try.
const online = () =>
  navigator.onLine ? undefined : new Promise((resolve) => addEventListener('online', resolve, { once: true }));
