// kith-urql.ts: urql for Kith.
import { Client, fetchExchange, subscriptionExchange } from '@urql/core';
import { authExchange } from '@urql/exchange-auth';
import { cacheExchange } from '@urql/exchange-graphcache';
import { relayPagination } from '@urql/exchange-graphcache/extras';
import { createClient } from 'graphql-ws';

export interface Tokens {
  accessToken: string;
  refreshToken: string;
}

export interface Options {
  /** For instance `https://kith.example`. */
  server: string;
  tokens: Tokens;
  /** Keep them: a refresh token works once. */
  save(tokens: Tokens): void;
  /** The session is over; ask for the password. */
  signedOut(): void;
}

export function kith({ server, tokens, save, signedOut }: Options) {
  // One refresh at a time: a second use of a refresh token ends the session.
  let refreshing: Promise<void> | undefined;
  let mustRefresh = false;

  const refresh = () => (refreshing ??= buyTokens().finally(() => (refreshing = undefined)));

  async function buyTokens() {
    const response = await fetch(`${server}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        query: 'mutation ($input: RefreshSessionInput!) { refreshSession(input: $input) { accessToken refreshToken } }',
        variables: { input: { refreshToken: tokens.refreshToken } },
      }),
    });
    const { data } = await response.json();
    // Without `data` the server is busy or away: nothing was used up, and the next try may succeed.
    if (!data?.refreshSession) return;
    if (!data.refreshSession.accessToken) return signedOut();
    save((tokens = data.refreshSession));
    mustRefresh = false;
  }

  const socket = createClient({
    url: `${server.replace(/^http/, 'ws')}/graphql/ws`,
    // A function: asked at each connection, so that a reconnect brings the newest token.
    connectionParams: async () => {
      if (mustRefresh) await refresh();
      return { authorization: `Bearer ${tokens.accessToken}` };
    },
    // The default gives up when a connection is refused, as it is while the server restarts. Final close codes stay final.
    shouldRetry: () => true,
    retryAttempts: Infinity,
    on: {
      closed: (event) => {
        const { code } = event as CloseEvent;
        if (code === 4403) mustRefresh = true;
        if (code === 1008) signedOut();
      },
    },
  });

  const client = new Client({
    url: `${server}/graphql`,
    preferGetMethod: false,
    exchanges: [
      cacheExchange({
        resolvers: {
          DirectConversation: { messages: relayPagination(), members: relayPagination() },
          Viewer: {
            conversations: relayPagination(),
            friends: relayPagination(),
            blockedUsers: relayPagination(),
            invites: relayPagination(),
          },
        },
      }),
      authExchange(async (utils) => ({
        addAuthToOperation: (operation) =>
          utils.appendHeaders(operation, { authorization: `Bearer ${tokens.accessToken}` }),
        didAuthError: ({ graphQLErrors }) =>
          graphQLErrors.some(({ extensions }) => extensions?.code === 'UNAUTHENTICATED'),
        refreshAuth: refresh,
      })),
      fetchExchange,
      subscriptionExchange({
        forwardSubscription: ({ query = '', variables: given }) => ({
          subscribe: (sink) => {
            // graphql-ws sends the same variables object again after a cut: moving `after` in it is what resumes. For
            // documents that declare `$after` and select `cursor`.
            const variables: Record<string, unknown> = { ...given };
            const resumes = /\$after\b/.test(query);
            const unsubscribe = socket.subscribe<any, any>(
              { query, variables },
              {
                ...sink,
                next(result) {
                  const { cursor } = (Object.values(result.data ?? {})[0] ?? {}) as { cursor?: string };
                  if (resumes && cursor) variables.after = cursor;
                  sink.next(result);
                },
              },
            );
            return { unsubscribe };
          },
        }),
      }),
    ],
  });
  return { client, socket };
}
