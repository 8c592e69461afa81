// One signed-in person's connection to the server: the cache, the questions over HTTP, the events over one socket.
import { authExchange } from '@urql/exchange-auth';
import { retryExchange } from '@urql/exchange-retry';
import { Client, fetchExchange, subscriptionExchange } from 'urql';
import type { MessageItemFragment } from '../../gql/graphql';
import { type Account, SignedOut, current, freshToken, otherToken } from '../../shared/accounts';
import { httpUrl } from '../../shared/server';
import { cacheFor } from './cache';
import { Connection } from './connection';
import { inOrder } from './inOrder';
import { Membership, MissedMessages, NewestMessages } from './documents';
import { forward, listen } from './live';
import { Outbox } from './outbox';
import { Shown } from './refetch';
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
  /** When the stream of events has begun, or will not soon. */
  ready: Promise<void>;
  close(): void;
}

/** What is missing may be on its way: an answer can overtake an event by so much. */
const GAP_PATIENCE_MS = 300;
/** So many pages at most are fetched to close a gap. */
const MOST_PAGES = 50;

/** So long is waited for the stream of events to begin before anything is asked. */
const STREAM_PATIENCE_MS = 1_500;

export interface Beginning {
  account: Account;
  /** Where the stream of events goes on. */
  after: string | null;
  /** Throws everything that is cached away, by making another one of these. */
  resync(after: string | null): void;
  signedOut(): void;
}

export function createKith({ account, after, resync, signedOut }: Beginning): Kith {
  const connection = new Connection();
  const typists = new Typists();
  const socket = openSocket(account.id, connection, signedOut);
  // Else it would be found out by a ping, seconds later.
  const offline = () => socket.terminate();
  addEventListener('offline', offline);
  const shown = new Shown();
  // The newest message that is known of each conversation in which some are missing before it.
  const gaps = new Map<string, number>();
  // Asks for what is missing, unless it has come by itself meanwhile.
  const mendGap = ({ conversation: { id }, sequence }: MessageItemFragment) => {
    const isUnderWay = gaps.has(id);
    gaps.set(id, Math.max(gaps.get(id) ?? 0, sequence));
    if (!isUnderWay) setTimeout(() => void closeGap(id).finally(() => gaps.delete(id)), GAP_PATIENCE_MS);
  };
  async function closeGap(id: string) {
    for (let pages = 0, known = 0; pages < MOST_PAGES; pages++) {
      const edges = client.readQuery(NewestMessages, { id })?.data?.conversation?.messages.edges ?? [];
      const newest = [...edges].sort((one, other) => one.node.sequence - other.node.sequence).at(-1);
      if (!newest || newest.node.sequence >= gaps.get(id)! || newest.node.sequence === known) return;
      known = newest.node.sequence;
      await client.query(MissedMessages, { id, after: newest.cursor }, { requestPolicy: 'network-only' }).toPromise();
    }
  }
  // Later: it is asked for while the cache applies an event, and the cache cannot be entered twice.
  const membership = (id: string) =>
    setTimeout(() => void client.query(Membership, { id }, { requestPolicy: 'network-only' }).toPromise());
  const client: Client = new Client({
    url: httpUrl.href,
    preferGetMethod: false,
    requestPolicy: 'cache-first',
    fetch: async (address, options) => {
      const limit = AbortSignal.timeout(ANSWER_LIMIT_MS);
      const signal = options?.signal ? AbortSignal.any([options.signal, limit]) : limit;
      const response = await fetch(address, { ...options, signal });
      connection.reached();
      return response;
    },
    exchanges: [
      shown.exchange,
      cacheFor({ typing: ({ conversationId, user, typing }) => typists.heard(conversationId, user, typing), gap: mendGap, membership }),
      retryExchange({
        initialDelayMs: 500,
        maxDelayMs: 15_000,
        maxNumberAttempts: Infinity,
        // What changes something is repeated by who asked for it.
        retryIf: ({ networkError, graphQLErrors: [first] }, { kind }) =>
          kind === 'query' && (!!networkError || first?.extensions.code === 'UNAVAILABLE'),
      }),
      inOrder,
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
  let isReady = false;
  let isAsked = false;
  let stop = () => {};
  const ready = new Promise<void>((resolve) => {
    const impatient = setTimeout(() => {
      isAsked = true;
      resolve();
    }, STREAM_PATIENCE_MS);
    const caughtUp = () => {
      if (isReady) return;
      isReady = true;
      clearTimeout(impatient);
      // What was asked before may lack what happened since.
      if (isAsked) shown.fetchAgain(client);
      resolve();
    };
    stop = listen(client, { after, resync, caughtUp });
  });
  // An answer that is there before the conversation is would not be shown in it.
  void ready.then(() => outbox.begin());
  return {
    account,
    client,
    connection,
    outbox,
    typists,
    ready,
    close: () => {
      stop();
      outbox.close();
      typists.close();
      removeEventListener('offline', offline);
      void socket.dispose();
    },
  };
}
