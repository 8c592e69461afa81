// Kith with Apollo Client: sign in, page back, send, listen, and miss nothing when the connection breaks.
import { ApolloClient, ApolloLink, CombinedGraphQLErrors, HttpLink, InMemoryCache } from '@apollo/client';
import { ErrorLink } from '@apollo/client/link/error';
import { RetryLink } from '@apollo/client/link/retry';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions';
import { ApolloProvider, useQuery, useSubscription } from '@apollo/client/react';
import { relayStylePagination } from '@apollo/client/utilities';
import { createClient } from 'graphql-ws';
import { useActionState } from 'react';
import { createRoot } from 'react-dom/client';
import { BehaviorSubject, concatMap, finalize, first, from, map, switchMap, tap, timeout } from 'rxjs';
import * as kith from './gql/graphql';
import schema from './gql/possible-types';

const { server = 'http://127.0.0.1:8000', conversation = '' } = Object.fromEntries(new URLSearchParams(location.search));
const http = new HttpLink({ uri: `${server}/graphql` });
const retry = new RetryLink({ delay: { initial: 200, max: 10_000 }, attempts: { max: Infinity } });
const anonymous = new ApolloClient({ link: ApolloLink.from([retry, http]), cache: new InMemoryCache() });
const session = (): Partial<kith.RefreshMutation['refreshSession']> => JSON.parse(localStorage.getItem('kith') ?? '{}');
const save = (tokens: object) => localStorage.setItem('kith', JSON.stringify(tokens));
const signOut = () => (localStorage.removeItem('kith'), location.reload());
const authorization = () => `Bearer ${session().accessToken}`;

// A refresh token works once, and a second use ends the session: so one refresh at a time, over all tabs, and the new
// pair is saved before anybody uses it.
const refresh = (refused = session().accessToken) =>
  navigator.locks.request('kith', async () => {
    const { accessToken, refreshToken } = session();
    if (!refreshToken || accessToken !== refused) return; // Somebody else was faster.
    const { data } = await anonymous.mutate({ mutation: kith.RefreshDocument, variables: { input: { refreshToken } } });
    if (data?.refreshSession.accessToken) save(data.refreshSession);
    else signOut();
  });
const socket = createClient({
  url: `${server.replace(/^http/, 'ws')}/graphql/ws`,
  connectionParams: () => ({ authorization: authorization() }), // A function: asked at each connection.
  shouldRetry: () => true, // By default it gives up when a connection is refused, and after five tries.
  retryAttempts: Infinity,
  retryWait: (retries) => new Promise((go) => setTimeout(go, Math.random() * Math.min(200 * 2 ** retries, 10_000))),
  on: {
    connected: () => void (position.after ?? fetchNewest()),
    closed: (event) => {
      if ((event as CloseEvent).code === 4403) void refresh();
      if ((event as CloseEvent).code === 1008) signOut();
    },
  },
});

// graphql-ws sends the same variables object again after a cut: moving `after` in it is what resumes. Before the first
// event there is no cursor and no replay: so each connection, and that event, fetch the newest page.
const position: kith.MessageEventsSubscriptionVariables = { conversationId: conversation };
const resume = new ApolloLink((operation, forward) => {
  operation.variables = position;
  return forward(operation).pipe(
    tap(({ data }) => {
      if (!position.after) fetchNewest();
      position.after = data?.messageEvents.cursor ?? position.after;
    }),
    concatMap((event) => asking.pipe(first((n) => n === 0), map(() => event))),
  );
});
// An answer may be older than an event that overtakes it: so events wait until no answer is under way.
const asking = new BehaviorSubject(0);
const ask = new ApolloLink((operation, forward) => {
  asking.next(asking.value + 1);
  operation.setContext({ headers: { authorization: authorization() } });
  return forward(operation).pipe(timeout(15_000), finalize(() => asking.next(asking.value - 1)));
});
const refreshAndRepeat = new ErrorLink(({ error, operation, forward }) => {
  if (CombinedGraphQLErrors.is(error) && error.errors.some(({ extensions }) => extensions?.code === 'UNAUTHENTICATED'))
    return from(refresh()).pipe(switchMap(() => forward(operation)));
});
const client = new ApolloClient({
  link: ApolloLink.split(
    ({ operationName }) => operationName === 'MessageEvents',
    ApolloLink.from([resume, new GraphQLWsLink(socket)]),
    ApolloLink.from([refreshAndRepeat, retry, ask, http]),
  ),
  cache: new InMemoryCache({ ...schema, typePolicies: { Conversation: { fields: { messages: relayStylePagination() } } } }),
});

const newest = { query: kith.MessagesDocument, variables: { conversationId: conversation } };
const fetchNewest = () => void client.refetchQueries({ include: [newest.query] });

// Appends the message that comes next: its answer and its event both bring it. Where some are missing, fetches.
function append(edge?: kith.EdgeFragment | null) {
  client.cache.updateQuery(newest, (data) => {
    const messages = data?.conversation?.messages;
    const ahead = edge && messages && edge.node.sequence - (messages.edges.at(-1)?.node.sequence ?? 0);
    if (ahead && ahead > 1) queueMicrotask(fetchNewest);
    if (ahead !== 1) return;
    return { conversation: { ...data!.conversation!, messages: { ...messages!, edges: [...messages!.edges, edge!] } } };
  });
}

function Conversation() {
  const { data, error, fetchMore } = useQuery(newest.query, { variables: newest.variables });
  useSubscription(kith.MessageEventsDocument, {
    variables: newest.variables,
    ignoreResults: true,
    onData: ({ data: { data } }) => append(data?.messageEvents.messageEdge),
  });
  const [unsent, send] = useActionState(async (unsent: { body: string; key: string; problem: string } | null, form: FormData) => {
    const body = String(form.get('body'));
    // The same words, sent again after an error, have the same key: the server makes no second message of them.
    const key = unsent?.body === body ? unsent.key : crypto.randomUUID();
    const variables = { input: { conversationId: conversation, body, idempotencyKey: key } };
    const { data, error } = await client.mutate({ mutation: kith.SendDocument, variables, errorPolicy: 'all' });
    append(data?.sendMessage.messageEdge);
    const problem = error?.message ?? data?.sendMessage.userErrors[0]?.message;
    return problem ? { body, key, problem } : null;
  }, null);
  if (!data?.conversation) return <p role="status">{error?.message ?? (data ? 'There is none.' : 'Loading…')}</p>;
  const { edges, pageInfo } = data.conversation.messages;
  const older = () => fetchMore({ variables: { before: pageInfo.startCursor } });
  return (
    <main>
      {pageInfo.hasPreviousPage && <button onClick={older}>Older messages</button>}
      <ol aria-label="Messages">
        {edges.map(({ node: { id, sequence, sender, body, editedAt } }) => (
          <li key={id} value={sequence}>
            <b>{sender.displayName}</b> <span>{body ?? <i>deleted</i>}</span> {body && editedAt && <small>edited</small>}
          </li>
        ))}
      </ol>
      <form action={send}>
        <input name="body" aria-label="Message" defaultValue={unsent?.body} required />
        <button>Send</button> <span role="alert">{unsent?.problem}</span>
      </form>
    </main>
  );
}
function SignIn() {
  const [problem, signIn] = useActionState(async (_: unknown, form: FormData) => {
    const variables = { input: Object.fromEntries(form) as kith.LoginMutationVariables['input'] };
    const { data, error } = await anonymous.mutate({ mutation: kith.LoginDocument, variables, errorPolicy: 'all' });
    if (!data?.login.accessToken) return error?.message ?? data?.login.userErrors[0]?.message;
    save(data.login);
    location.reload();
  }, null);
  return (
    <form action={signIn}>
      <input name="identifier" aria-label="Username or email" autoComplete="username" required />
      <input name="password" aria-label="Password" type="password" autoComplete="current-password" required />
      <button>Sign in</button> <span role="alert">{problem}</span>
    </form>
  );
}
createRoot(document.getElementById('root')!).render(
  <ApolloProvider client={client}>{session().accessToken ? <Conversation /> : <SignIn />}</ApolloProvider>,
);
