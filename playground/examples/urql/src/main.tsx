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
import schema from './gql/schema.json';

const address = new URLSearchParams(location.search);
const server = address.get('server') ?? 'http://127.0.0.1:8000';
const conversationId = address.get('conversation') ?? '';
const options = { url: `${server}/graphql`, preferGetMethod: false };
const retry = retryExchange({ initialDelayMs: 200, maxDelayMs: 10_000, maxNumberAttempts: Infinity });
const anonymous = new Client({ ...options, exchanges: [retry, fetchExchange] });
const session = (): Partial<kith.RefreshMutation['refreshSession']> => JSON.parse(localStorage.getItem('kith') ?? '{}');
const save = (tokens: object) => localStorage.setItem('kith', JSON.stringify(tokens));
const signOut = () => (localStorage.removeItem('kith'), location.reload());
// A refresh token works once: so one refresh at a time, over all tabs, and the new pair is saved before it is used.
const refresh = (refused = session().accessToken) =>
  navigator.locks.request('kith', async () => {
    const { accessToken, refreshToken } = session();
    if (!refreshToken || accessToken !== refused) return; // Somebody else was faster.
    const { data } = await anonymous.mutation(kith.RefreshDocument, { input: { refreshToken } });
    if (data?.refreshSession.accessToken) save(data.refreshSession);
    else if (data) signOut();
  });
const socket = createClient({
  url: `${server.replace(/^http/, 'ws')}/graphql/ws`,
  connectionParams: () => ({ authorization: `Bearer ${session().accessToken}` }), // A function: asked at each connection.
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
// An answer may be older than an event that overtakes it: so events wait until no answer is under way.
const asking = new Set<number>();
const events: (() => void)[] = [];
function settle(key = 0) {
  asking.delete(key);
  while (!asking.size && events.length) events.shift()!();
}
const ask = mapExchange({
  onOperation: ({ kind, key }) => void (kind === 'teardown' ? settle(key) : asking.add(key)),
  onResult: ({ operation }) => queueMicrotask(() => settle(operation.key)), // When the cache has taken it in.
});
// graphql-ws sends the same variables object again after a cut: moving `after` in it is what resumes.
const position: kith.MessageEventsSubscriptionVariables = { conversationId };
const subscription = subscriptionExchange({
  forwardSubscription: ({ query = '' }) => ({
    subscribe: ({ next, ...sink }) => {
      const held = { ...sink, next: (event: object) => (events.push(() => next(event as never)), settle()) };
      return { unsubscribe: socket.subscribe({ query, variables: position }, held) };
    },
  }),
});
const messageEvents: UpdateResolver<kith.MessageEventsSubscription> = (data, _, cache) => {
  // Before the first event there is no cursor and no replay: so each connection, and that event, fetch the newest page.
  if (!position.after) queueMicrotask(fetchNewest);
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
  if (ahead && ahead > 1) queueMicrotask(fetchNewest);
  if (ahead === 1) cache.link(page as string, 'edges', [...edges, cache.keyOfEntity(edge as never)]);
}
// The newest page, fetched anew, replaces all that was there: older pages are asked for again.
const messages: UpdateResolver = (parent, { before }, cache) => {
  for (const { fieldName, arguments: page } of before ? [] : cache.inspectFields(parent as Entity))
    if (fieldName === 'messages' && page?.before) cache.invalidate(parent as Entity, fieldName, page);
};
const cache = cacheExchange({
  schema,
  keys: { MessageEdge: ({ node }) => (node as { id: string }).id, MessageEvent: () => null },
  resolvers: { DirectConversation: { messages: relayPagination() }, Group: { messages: relayPagination() } },
  updates: { DirectConversation: { messages }, Group: { messages }, Mutation: { sendMessage }, Subscription: { messageEvents } },
});
const auth = authExchange(async ({ appendHeaders }) => ({
  addAuthToOperation: (operation) => appendHeaders(operation, { authorization: `Bearer ${session().accessToken}` }),
  didAuthError: ({ graphQLErrors }) => graphQLErrors.some(({ extensions }) => extensions?.code === 'UNAUTHENTICATED'),
  refreshAuth: () => refresh(),
}));
const client = new Client({
  ...options,
  fetch: (input, init) => fetch(input, { ...init, signal: AbortSignal.any([init!.signal!, AbortSignal.timeout(15_000)]) }),
  exchanges: [cache, auth, subscription, retry, ask, fetchExchange],
});
const newest = { query: kith.MessagesDocument, variables: { conversationId } };
const fetchNewest = () => void client.query(newest.query, newest.variables, { requestPolicy: 'network-only' }).toPromise();
function Conversation() {
  const [{ data, error }] = useQuery(newest);
  useSubscription({ query: kith.MessageEventsDocument, variables: newest.variables });
  const [problem, send] = useActionState(async (_: unknown, form: FormData) => {
    // Tried again after a cut, the request has the same key: the server makes no second message of it.
    const input = { conversationId, body: String(form.get('body')), idempotencyKey: crypto.randomUUID() };
    const { data, error } = await client.mutation(kith.SendDocument, { input });
    return error?.message ?? data?.sendMessage.userErrors[0]?.message;
  }, null);
  if (!data?.conversation) return <p role="status">{error?.message ?? (data ? 'There is none.' : 'Loading…')}</p>;
  const { edges, pageInfo } = data.conversation.messages;
  const older = () => client.query(newest.query, { conversationId, before: pageInfo.startCursor }).toPromise();
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
  const [problem, signIn] = useActionState(async (_: unknown, form: FormData) => {
    const { data, error } = await anonymous.mutation(kith.LoginDocument, { input: Object.fromEntries(form) as kith.LoginInput });
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
const page = session().accessToken ? <Conversation /> : <SignIn />;
createRoot(document.getElementById('root')!).render(<Provider value={client}>{page}</Provider>);
