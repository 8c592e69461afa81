// Kith with urql: sign in, page back, send, listen, and miss nothing when the connection breaks.
import { authExchange } from '@urql/exchange-auth';
import { type Cache, cacheExchange, type Entity, type UpdateResolver } from '@urql/exchange-graphcache';
import { relayPagination } from '@urql/exchange-graphcache/extras';
import { retryExchange } from '@urql/exchange-retry';
import { createClient, type ExecutionResult } from 'graphql-ws';
import { useActionState } from 'react';
import { createRoot } from 'react-dom/client';
import { Client, type Exchange, fetchExchange, Provider, subscriptionExchange, useQuery, useSubscription } from 'urql';
import { onPush, pipe } from 'wonka';
import * as kith from './gql/graphql';
import schema from './gql/schema.json';

const { server = 'http://127.0.0.1:8000', conversation = '' } = Object.fromEntries(new URLSearchParams(location.search));
const url = `${server}/graphql`;
const retry = retryExchange({ initialDelayMs: 200, maxDelayMs: 10_000, maxNumberAttempts: Infinity });
const anonymous = new Client({ url, preferGetMethod: false, exchanges: [retry, fetchExchange] });

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
    const { data } = await anonymous.mutation(kith.RefreshDocument, { input: { refreshToken } });
    if (data?.refreshSession.accessToken) save(data.refreshSession);
    else if (data) signOut();
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

// An answer may be older than an event that overtakes it: so events wait until no answer is under way.
const asking = new Set<number>();
const events: (() => void)[] = [];
const answered = (key: number) => {
  asking.delete(key);
  while (!asking.size && events.length) events.shift()!();
};
const holdEvents: Exchange = ({ forward }) => (operations) =>
  pipe(
    operations,
    onPush(({ kind, key }) => (kind === 'teardown' ? answered(key) : kind !== 'subscription' && asking.add(key))),
    forward,
    onPush(({ operation }) => queueMicrotask(() => answered(operation.key))), // When the cache has the answer.
  );

// graphql-ws sends the same variables object again after a cut: moving `after` in it is what resumes. Before the first
// event there is no cursor and no replay: so each connection, and that event, fetch the newest page.
const position: kith.MessageEventsSubscriptionVariables = { conversationId: conversation };
const subscription = subscriptionExchange({
  forwardSubscription: ({ query = '' }) => ({
    subscribe: (sink) => {
      const next = (event: ExecutionResult<kith.MessageEventsSubscription>) => {
        if (!position.after) fetchNewest();
        position.after = event.data?.messageEvents.cursor ?? position.after;
        events.push(() => sink.next(event as never));
        answered(NaN);
      };
      return { unsubscribe: socket.subscribe({ query, variables: position }, { ...sink, next }) };
    },
  }),
});

// A newest page that is fetched anew takes the place of everything: the older pages are asked for again.
const forgetOlder: UpdateResolver = (parent, { before }, cache) => {
  for (const { fieldName, arguments: page } of before ? [] : cache.inspectFields(parent as Entity))
    if (fieldName === 'messages' && page?.before) cache.invalidate(parent as Entity, fieldName, page);
};
// Appends the message that comes next: its answer and its event both bring it. Where some are missing, fetches.
function append(cache: Cache, edge?: kith.EdgeFragment | null) {
  const at = (entity: unknown, field: string, args?: object) => cache.resolve(entity as string, field, args as never);
  const page = at(at('Query', 'conversation', { id: conversation }), 'messages', { last: 20 });
  const edges = at(page, 'edges') as string[] | undefined;
  if (!edge || !edges) return;
  const ahead = edge.node.sequence - ((at(at(edges.at(-1), 'node'), 'sequence') as number) ?? 0);
  if (ahead > 1) queueMicrotask(fetchNewest);
  if (ahead === 1) cache.link(page as string, 'edges', [...edges, cache.keyOfEntity(edge as never)]);
}

const client = new Client({
  url,
  preferGetMethod: false,
  fetch: (input, init) => fetch(input, { ...init, signal: AbortSignal.any([init!.signal!, AbortSignal.timeout(15_000)]) }),
  exchanges: [
    cacheExchange({
      schema,
      keys: { MessageEdge: ({ node }) => (node as { id: string }).id, MessageEvent: () => null },
      resolvers: { DirectConversation: { messages: relayPagination() }, Group: { messages: relayPagination() } },
      updates: {
        DirectConversation: { messages: forgetOlder },
        Group: { messages: forgetOlder },
        Mutation: { sendMessage: (data, _, cache) => append(cache, (data as kith.SendMutation).sendMessage.messageEdge) },
        Subscription: { messageEvents: (data, _, cache) => append(cache, (data as kith.MessageEventsSubscription).messageEvents.messageEdge) },
      },
    }),
    authExchange(async ({ appendHeaders }) => ({
      addAuthToOperation: (operation) => appendHeaders(operation, { authorization: authorization() }),
      didAuthError: ({ graphQLErrors }) => graphQLErrors.some(({ extensions }) => extensions?.code === 'UNAUTHENTICATED'),
      refreshAuth: () => refresh(),
    })),
    retry,
    holdEvents,
    fetchExchange,
    subscription,
  ],
});
const newest = { query: kith.MessagesDocument, variables: { conversationId: conversation } };
const fetchNewest = () => void client.query(newest.query, newest.variables, { requestPolicy: 'network-only' }).toPromise();

function Conversation() {
  const [{ data, error }] = useQuery(newest);
  useSubscription({ query: kith.MessageEventsDocument, variables: newest.variables });
  const [unsent, send] = useActionState(async (unsent: { body: string; key: string; problem: string } | null, form: FormData) => {
    const body = String(form.get('body'));
    // The same words, sent again after an error, have the same key: the server makes no second message of them.
    const key = unsent?.body === body ? unsent.key : crypto.randomUUID();
    const input = { conversationId: conversation, body, idempotencyKey: key };
    const { data, error } = await client.mutation(kith.SendDocument, { input });
    const problem = error?.message ?? data?.sendMessage.userErrors[0]?.message;
    return problem ? { body, key, problem } : null;
  }, null);
  if (!data?.conversation) return <p role="status">{error?.message ?? (data ? 'There is none.' : 'Loading…')}</p>;
  const { edges, pageInfo } = data.conversation.messages;
  const older = () => client.query(newest.query, { ...newest.variables, before: pageInfo.startCursor }).toPromise();
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
    const input = Object.fromEntries(form) as kith.LoginInput;
    const { data, error } = await anonymous.mutation(kith.LoginDocument, { input });
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
  <Provider value={client}>{session().accessToken ? <Conversation /> : <SignIn />}</Provider>,
);
