// Kith with Apollo Client: sign in, page back, send, listen, and miss nothing when the connection breaks.
import { ApolloClient, ApolloLink, CombinedGraphQLErrors, HttpLink, InMemoryCache } from '@apollo/client';
import { ErrorLink } from '@apollo/client/link/error';
import { RetryLink } from '@apollo/client/link/retry';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions';
import { ApolloProvider, useMutation, useQuery, useSubscription } from '@apollo/client/react';
import { relayStylePagination } from '@apollo/client/utilities';
import { createClient } from 'graphql-ws';
import { useActionState } from 'react';
import { createRoot } from 'react-dom/client';
import { BehaviorSubject, concatMap, finalize, first, from, map, switchMap, tap, timeout } from 'rxjs';
import * as kith from './gql/graphql';

const address = Object.fromEntries(new URLSearchParams(location.search));
const { server = 'http://127.0.0.1:8000', conversation: conversationId = '' } = address;
const http = new HttpLink({ uri: `${server}/graphql` });
const retry = new RetryLink({ delay: { initial: 200, max: 10_000 }, attempts: { max: Infinity } });
const anonymous = new ApolloClient({ link: ApolloLink.from([retry, http]), cache: new InMemoryCache() });

const session = (): Partial<kith.RefreshMutation['refreshSession']> => JSON.parse(localStorage.getItem('kith') ?? '{}');
const save = (tokens: object) => localStorage.setItem('kith', JSON.stringify(tokens));
const authorization = () => `Bearer ${session().accessToken}`;
// A refresh token works once: so one refresh at a time, over all tabs, and the new pair is saved before it is used.
const refresh = (refused = session().accessToken) =>
  navigator.locks.request('kith', async () => {
    const { accessToken, refreshToken } = session();
    if (!refreshToken || accessToken !== refused) return; // Somebody else was faster.
    const { data } = await anonymous.mutate({ mutation: kith.RefreshDocument, variables: { input: { refreshToken } } });
    if (data) save(data.refreshSession);
    if (data && !session().accessToken) location.reload(); // The session is over: sign in again.
  });
const socket = createClient({
  url: `${server.replace(/^http/, 'ws')}/graphql/ws`,
  connectionParams: () => ({ authorization: authorization() }), // A function: asked at each connection.
  shouldRetry: () => true, // By default it gives up when a connection is refused, and after five tries.
  retryAttempts: Infinity,
  retryWait: (retries) => new Promise((go) => setTimeout(go, Math.random() * Math.min(200 * 2 ** retries, 10_000))),
  on: {
    connected: () => void (position.after ?? fetchNewest()),
    closed: (event) => [4403, 1008].includes((event as CloseEvent).code) && refresh(), // Too old, or revoked.
  },
});

// graphql-ws sends the same variables object again after a cut: moving `after` in it is what resumes.
const position: kith.MessageEventsSubscriptionVariables = { conversationId };
const resume = new ApolloLink((operation, forward) => {
  operation.variables = position;
  return forward(operation).pipe(concatMap((event) => asking.pipe(first((n) => n === 0), map(() => event))));
});
// An answer may be older than an event that overtakes it: so events wait until no answer is under way.
const asking = new BehaviorSubject(0);
// A server that is busy is asked again, as one that is not there.
function busy({ errors }: ApolloLink.Result) {
  if (errors?.[0]?.extensions?.code === 'UNAVAILABLE') throw new Error(errors[0].message);
}
const ask = new ApolloLink((operation, forward) => {
  asking.next(asking.value + 1);
  operation.setContext({ headers: { authorization: authorization() } });
  return forward(operation).pipe(timeout(15_000), tap(busy), finalize(() => asking.next(asking.value - 1)));
});
const refreshAndRepeat = new ErrorLink(({ error, operation, forward }) => {
  if (CombinedGraphQLErrors.is(error) && error.errors[0]?.extensions?.code === 'UNAUTHENTICATED')
    return from(refresh()).pipe(switchMap(() => forward(operation)));
});
const fields = { messages: relayStylePagination() };
const client = new ApolloClient({
  link: ApolloLink.split(
    ({ operationName }) => operationName === 'MessageEvents',
    ApolloLink.from([resume, new GraphQLWsLink(socket)]),
    ApolloLink.from([refreshAndRepeat, retry, ask, http]),
  ),
  cache: new InMemoryCache({ typePolicies: { DirectConversation: { fields }, Group: { fields } } }),
});
const newest = { query: kith.MessagesDocument, variables: { conversationId } };
const fetchNewest = () => void client.refetchQueries({ include: [newest.query] });
function hear({ data: { data } }: useSubscription.OnDataOptions<kith.MessageEventsSubscription>) {
  // Before the first event there is no cursor and no replay: so each connection, and that event, fetch the newest page.
  if (!position.after) fetchNewest();
  if (data) append(data.messageEvents.messageEdge);
  position.after = data?.messageEvents.cursor ?? position.after;
}
// Appends the message that comes next: its answer and its event both bring it. Where some are missing, fetches.
function append(edge: kith.EdgeFragment) {
  client.cache.updateQuery(newest, (data) => {
    const messages = data?.conversation?.messages;
    const ahead = messages && edge.node.sequence - (messages.edges.at(-1)?.node.sequence ?? 0);
    if (ahead && ahead > 1) queueMicrotask(fetchNewest);
    if (ahead === 1)
      return { conversation: { ...data!.conversation!, messages: { ...messages!, edges: [...messages!.edges, edge] } } };
  });
}

function Conversation() {
  const { data, error, fetchMore } = useQuery(newest.query, newest);
  useSubscription(kith.MessageEventsDocument, { variables: newest.variables, ignoreResults: true, onData: hear });
  const [problem, send] = useActionState(async (_: unknown, form: FormData) => {
    // Tried again after a cut, the request has the same key: the server makes no second message of it.
    const input = { conversationId, body: String(form.get('body')), idempotencyKey: crypto.randomUUID() };
    const { data, error } = await client.mutate({ mutation: kith.SendDocument, variables: { input }, errorPolicy: 'all' });
    if (data?.sendMessage.messageEdge) append(data.sendMessage.messageEdge);
    return error?.message ?? data?.sendMessage.userErrors[0]?.message;
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
            <b>{sender.displayName}</b> {body ?? <i>deleted</i>} {body && editedAt && <small>edited</small>}
          </li>
        ))}
      </ol>
      <form action={send}>
        <input name="body" aria-label="Message" required /> <button>Send</button> <span role="alert">{problem}</span>
      </form>
    </main>
  );
}
function SignIn() {
  const onCompleted = ({ login }: kith.LoginMutation) => login.accessToken && (save(login), location.reload());
  const [login, { data, error }] = useMutation(kith.LoginDocument, { client: anonymous, errorPolicy: 'all', onCompleted });
  const action = (form: FormData) => void login({ variables: { input: Object.fromEntries(form) as kith.LoginInput } });
  return (
    <form action={action}>
      <input name="identifier" aria-label="Username or email" autoComplete="username" required />
      <input name="password" aria-label="Password" type="password" autoComplete="current-password" required />
      <button>Sign in</button> <span role="alert">{error?.message ?? data?.login.userErrors[0]?.message}</span>
    </form>
  );
}
const page = session().accessToken ? <Conversation /> : <SignIn />;
createRoot(document.getElementById('root')!).render(<ApolloProvider client={client}>{page}</ApolloProvider>);
