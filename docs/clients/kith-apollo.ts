// kith-apollo.ts: Apollo Client 4 for Kith.
import { ApolloClient, ApolloLink, CombinedGraphQLErrors, HttpLink, InMemoryCache } from '@apollo/client';
import { SetContextLink } from '@apollo/client/link/context';
import { ErrorLink } from '@apollo/client/link/error';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions';
import { getMainDefinition, relayStylePagination } from '@apollo/client/utilities';
import { createClient } from 'graphql-ws';
import { from, switchMap, tap } from 'rxjs';

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
  let refreshing: Promise<boolean> | undefined;
  let mustRefresh = false;

  const refresh = () => (refreshing ??= buyTokens().finally(() => (refreshing = undefined)));

  async function buyTokens(): Promise<boolean> {
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
    if (!data?.refreshSession) return false;
    if (!data.refreshSession.accessToken) {
      signedOut();
      return false;
    }
    save((tokens = data.refreshSession));
    mustRefresh = false;
    return true;
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

  const authorize = new SetContextLink(({ headers }) => ({
    headers: { ...headers, authorization: `Bearer ${tokens.accessToken}` },
  }));

  const refreshAndRepeat = new ErrorLink(({ error, operation, forward }) => {
    const expired =
      CombinedGraphQLErrors.is(error) && error.errors.some((each) => each.extensions?.code === 'UNAUTHENTICATED');
    if (!expired || operation.getContext().repeated) return;
    operation.setContext({ repeated: true });
    return from(refresh()).pipe(switchMap(() => forward(operation)));
  });

  // graphql-ws sends the same variables object again after a cut: moving `after` in it is what resumes. For documents
  // that declare `$after` and select `cursor`.
  const resume = new ApolloLink((operation, forward) => {
    const declared = getMainDefinition(operation.query).variableDefinitions ?? [];
    if (!declared.some(({ variable }) => variable.name.value === 'after')) return forward(operation);
    const variables = (operation.variables = { ...operation.variables });
    return forward(operation).pipe(
      tap(({ data }) => {
        const { cursor } = (Object.values(data ?? {})[0] ?? {}) as { cursor?: string };
        if (cursor) variables.after = cursor;
      }),
    );
  });

  const client = new ApolloClient({
    link: ApolloLink.split(
      ({ query }) => {
        const definition = getMainDefinition(query);
        return definition.kind === 'OperationDefinition' && definition.operation === 'subscription';
      },
      ApolloLink.from([resume, new GraphQLWsLink(socket)]),
      ApolloLink.from([refreshAndRepeat, authorize, new HttpLink({ uri: `${server}/graphql` })]),
    ),
    cache: new InMemoryCache({
      // Every `id` is unique over all types, so the default key (`__typename` and `id`) is right as it is. Fragments on
      // interfaces and unions need to know their members.
      possibleTypes: {
        Conversation: ['DirectConversation'],
        Node: ['DirectConversation', 'Invite', 'Message', 'Session', 'User', 'Viewer'],
        Event: [
          'MessageEvent',
          'ReadReceipt',
          'InviteChanged',
          'ConversationChanged',
          'FriendshipChanged',
          'CaughtUp',
          'Heartbeat',
          'ResyncRequired',
        ],
      },
      typePolicies: {
        Conversation: { fields: { messages: relayStylePagination(), members: relayStylePagination() } },
        Viewer: {
          fields: {
            conversations: relayStylePagination(),
            friends: relayStylePagination(),
            blockedUsers: relayStylePagination(),
            invites: relayStylePagination(['direction', 'kind', 'status']),
          },
        },
      },
    }),
  });
  return { client, socket };
}
