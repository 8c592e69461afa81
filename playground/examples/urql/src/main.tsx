// Kith with urql: sign in, page back, send, listen, and miss nothing when the connection breaks.
import { authExchange } from '@urql/exchange-auth';
import { type Cache, cacheExchange, type Entity, type UpdateResolver } from '@urql/exchange-graphcache';
import { relayPagination } from '@urql/exchange-graphcache/extras';
import { retryExchange } from '@urql/exchange-retry';
import { createClient } from 'graphql-ws';
import { useActionState } from 'react';
import { createRoot } from 'react-dom/client';
import { Client, fetchExchange, mapExchange, Provider, subscriptionExchange, useQuery, useSubscription } from 'urql';
import * as kith from './gql/graphql';

const address = Object.fromEntries(new URLSearchParams(location.search));
const { server = 'http://127.0.0.1:8000', conversation: conversationId = '' } = address;
const ask: typeof fetch = (input, init) => fetch(input, { ...init, signal: AbortSignal.timeout(15_000) });
const options = { url: `${server}/graphql`, preferGetMethod: false, fetch: ask };
const retry = retryExchange({
  maxNumberAttempts: Infinity,
  retryIf: ({ networkError, graphQLErrors: [first] }) => !!networkError || first?.extensions.code === 'UNAVAILABLE',
});
const anonymous = new Client({ ...options, exchanges: [retry, fetchExchange] });
const session = (): Partial<kith.RefreshMutation['refreshSession']> => JSON.parse(localStorage.getItem('kith') ?? '{}');
const save = (tokens: object) => localStorage.setItem('kith', JSON.stringify(tokens));
// A refresh token works once: so one refresh at a time, over all tabs, and the new pair is saved before it is used.
const refresh = (refused = session().accessToken) =>
  navigator.locks.request('kith', async () => {
    const { accessToken, refreshToken } = session();
    if (!refreshToken || accessToken !== refused) return; // Somebody else was faster.
    const { data } = await anonymous.mutation(kith.RefreshDocument, { input: { refreshToken } });
    if (data) save(data.refreshSession);
    if (data && !session().accessToken) location.reload(); // The session is over: sign in again.
  });
const socket = createClient({
  url: `${server.replace(/^http/, 'ws')}/graphql/ws`,
  connectionParams: () => ({ authorization: `Bearer ${session().accessToken}` }), // A function: asked at each connection.
  shouldRetry: () => true, // By default it gives up when a connection is refused, and after five tries.
  retryAttempts: Infinity,
  retryWait: (retries) => new Promise((go) => setTimeout(go, Math.random() * Math.min(200 * 2 ** retries, 10_000))),
  on: {
    connected: () => void (position.after ?? fetchPage()),
    closed: (event) => [4403, 1008].includes((event as CloseEvent).code) && refresh(), // Too old, or revoked.
  },
});
// An answer may be older than an event that overtakes it: so events wait until no answer is under way.
const asking = new Set<number>();
const events: (() => void)[] = [];
const settle = (key = 0) => (asking.delete(key), asking.size || events.splice(0).forEach((apply) => apply()));
const order = mapExchange({
  onOperation: ({ kind, key }) => void (kind === 'teardown' ? settle(key) : asking.add(key)),
  onResult: ({ operation }) => queueMicrotask(() => settle(operation.key)), // When the cache has taken it in.
});
// graphql-ws sends the same variables object again after a cut: moving `after` in it is what resumes.
const position: kith.MessageEventsSubscriptionVariables = { conversationId };
const subscription = subscriptionExchange({
  forwardSubscription: ({ query = '' }) => ({
    subscribe: (sink) => {
      const next = (event: object) => (events.push(() => sink.next(event as never)), settle());
      return { unsubscribe: socket.subscribe({ query, variables: position }, { ...sink, next }) };
    },
  }),
});
const messageEvents: UpdateResolver<kith.MessageEventsSubscription> = (data, _, cache) => {
  // Before the first event there is no cursor and no replay: so each connection, and that event, fetch the newest page.
  if (!position.after) queueMicrotask(fetchPage);
  position.after = data.messageEvents.cursor;
  append(data.messageEvents.messageEdge, cache);
};
const sendMessage: UpdateResolver<kith.SendMutation> = (data, _, cache) => append(data.sendMessage.messageEdge, cache);
// Appends the message that comes next: its answer and its event both bring it. Where some are missing, fetches.
function append(edge: kith.EdgeFragment | null, cache: Cache) {
  const at = (entity: unknown, field: string, args?: object) => cache.resolve(entity as string, field, args as never);
  const page = at(at('Query', 'conversation', { id: conversationId }), 'messages', { last: 20 });
  const edges = (at(page, 'edges') ?? []) as string[];
  const ahead = edge && page && edge.node.sequence - ((at(at(edges.at(-1), 'node'), 'sequence') as number) ?? 0);
  if (ahead && ahead > 1) queueMicrotask(fetchPage);
  if (ahead === 1) cache.link(page as string, 'edges', [...edges, cache.keyOfEntity(edge as never)]);
}
// The newest page, fetched anew, replaces all that was there: older pages are asked for again.
const messages: UpdateResolver = (parent, { before }, cache) => {
  for (const { fieldName, arguments: page } of before ? [] : cache.inspectFields(parent as Entity))
    if (fieldName === 'messages' && page?.before) cache.invalidate(parent as Entity, fieldName, page);
};
const cache = cacheExchange({
  keys: { MessageEdge: ({ node }) => (node as { id: string }).id, MessageEvent: () => null },
  resolvers: { DirectConversation: { messages: relayPagination() }, Group: { messages: relayPagination() } },
  updates: { DirectConversation: { messages }, Group: { messages }, Mutation: { sendMessage }, Subscription: { messageEvents } },
});
const auth = authExchange(async ({ appendHeaders }) => ({
  addAuthToOperation: (operation) => appendHeaders(operation, { authorization: `Bearer ${session().accessToken}` }),
  didAuthError: ({ graphQLErrors: [first] }) => first?.extensions.code === 'UNAUTHENTICATED',
  refreshAuth: () => refresh(),
}));
const client = new Client({ ...options, exchanges: [cache, auth, subscription, retry, order, fetchExchange] });
const fetchPage = (before?: string | null) =>
  client.query(kith.MessagesDocument, { conversationId, before }, { requestPolicy: 'network-only' }).toPromise();
function Conversation() {
  const [{ data, error }] = useQuery({ query: kith.MessagesDocument, variables: { conversationId } });
  useSubscription({ query: kith.MessageEventsDocument, variables: { conversationId } });
  const [problem, send] = useActionState(async (_: unknown, form: FormData) => {
    // Tried again after a cut, the request has the same key: the server makes no second message of it.
    const input = { conversationId, body: String(form.get('body')), idempotencyKey: crypto.randomUUID() };
    const { data, error } = await client.mutation(kith.SendDocument, { input });
    return error?.message ?? data?.sendMessage.userErrors[0]?.message;
  }, null);
  if (!data?.conversation) return <p role="status">{error?.message ?? (data ? 'There is none.' : 'Loading…')}</p>;
  const { edges, pageInfo } = data.conversation.messages;
  return (
    <main>
      {pageInfo.hasPreviousPage && <button onClick={() => fetchPage(pageInfo.startCursor)}>Older messages</button>}
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
  const [problem, signIn] = useActionState(async (_: unknown, form: FormData) => {
    const { data, error } = await anonymous.mutation(kith.LoginDocument, { input: Object.fromEntries(form) as kith.LoginInput });
    if (data?.login.accessToken) save(data.login), location.reload();
    return error?.message ?? data?.login.userErrors[0]?.message;
  }, null);
  return (
    <form action={signIn}>
      <input name="identifier" aria-label="Username or email" autoComplete="username" required />
      <input name="password" aria-label="Password" type="password" autoComplete="current-password" required />
      <button>Sign in</button> <span role="alert">{problem}</span>
    </form>
  );
}
const page = session().accessToken ? <Conversation /> : <SignIn />;
createRoot(document.getElementById('root')!).render(<Provider value={client}>{page}</Provider>);
