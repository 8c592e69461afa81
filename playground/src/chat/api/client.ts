// One signed-in person's connection to the server: the cache, the questions over HTTP, the events over one socket.
import { authExchange } from '@urql/exchange-auth';
import { retryExchange } from '@urql/exchange-retry';
import { Client, fetchExchange, subscriptionExchange } from 'urql';
import { type Account, SignedOut, current, freshToken, otherToken } from '../../shared/accounts';
import { httpUrl } from '../../shared/server';
import { cacheFor } from './cache';
import { Connection } from './connection';
import { inOrder } from './inOrder';
import { forward, listen } from './live';
import { Outbox } from './outbox';
import { openSocket } from './socket';
import { Typists } from './typists';

/** A question that has no answer after this long is asked again, or said to have failed. */
const ANSWER_LIMIT_MS = 15_000;

export interface Kith {
  account: Account;
  client: Client;
  connection: Connection;
  outbox: Outbox;
  typists: Typists;
  close(): void;
}

/** `fetchAnew` throws everything that is cached away, by making another one of these. */
export function createKith(account: Account, fetchAnew: () => void, signedOut: () => void): Kith {
  const connection = new Connection();
  const typists = new Typists();
    const socket = openSocket(account.id, connection, signedOut);
  const client = new Client({
    url: httpUrl.href,
    preferGetMethod: false,
    requestPolicy: 'cache-first',
    fetch: (address, options) => {
      const limit = AbortSignal.timeout(ANSWER_LIMIT_MS);
      const signal = options?.signal ? AbortSignal.any([options.signal, limit]) : limit;
      return fetch(address, { ...options, signal });
    },
    exchanges: [
      cacheFor({ typing: ({ conversationId, user, typing }) => typists.heard(conversationId, user, typing), gap: fetchAnew }),
      inOrder,
      retryExchange({
        initialDelayMs: 500,
        maxDelayMs: 15_000,
        maxNumberAttempts: Infinity,
        // What changes something is repeated by who asked for it.
        retryIf: ({ networkError }, { kind }) => kind === 'query' && !!networkError,
      }),
      authExchange(async (utils) => {
        let token = await freshToken(account.id).catch(() => current()?.accessToken ?? '');
        return {
          addAuthToOperation: (operation) => utils.appendHeaders(operation, { authorization: `Bearer ${token}` }),
          didAuthError: ({ graphQLErrors }) => graphQLErrors.some(({ extensions }) => extensions?.code === 'UNAUTHENTICATED'),
          refreshAuth: async () => {
            try {
              token = await otherToken(account.id, token);
            } catch (error) {
              if (error instanceof SignedOut) signedOut();
            }
          },
        };
      }),
      fetchExchange,
      subscriptionExchange({ forwardSubscription: (operation) => forward(socket, operation) }),
    ],
  });
  const outbox = new Outbox(account.id, client, connection);
  const stop = listen(client, fetchAnew);
  return {
    account,
    client,
    connection,
    outbox,
    typists,
    close: () => {
      stop();
      outbox.close();
      typists.close();
      void socket.dispose();
    },
  };
}
