// What is known here of the server's graph, kept true by answers and events.
import { type Cache, type CacheExchangeOpts, cacheExchange, type UpdateResolver } from '@urql/exchange-graphcache';
import { relayPagination } from '@urql/exchange-graphcache/extras';
import type { EventsSubscription, MessageItemFragment, MissedMessagesQuery, SendMessageMutation, UpdateProfileInput } from '../../gql/graphql';
import schema from '../../gql/schema.json';
import { graphql } from '../../gql';
import { optimistic } from './optimistic';

export const Members = graphql(`
  query Members($id: ID!) {
    conversation(id: $id) {
      id
      members(first: 100) {
        totalCount
        edges {
          ...MemberItem
        }
        pageInfo {
          hasNextPage
          endCursor
        }
      }
    }
  }
`);

type Event = EventsSubscription['events']['event'];
type Of<T extends Event['__typename']> = Extract<Event, { __typename: T }>;

export interface Heard {
  typing(event: Of<'TypingEvent'>): void;
  /** Messages are missing between those that are cached and this one. */
  gap(message: MessageItemFragment): void;
  /** Somebody came, went, or has another role. */
  membership(conversationId: string): void;
}

export function cacheFor(heard: Heard) {
  const none = () => null;
  const missed: UpdateResolver = (result, { after }, cache) => {
    if (!after) return;
    const { edges } = (result as NonNullable<MissedMessagesQuery['conversation']>).messages;
    for (const { node } of edges) append(node, cache, heard.gap);
  };
  const pages = { messages: relayPagination(), members: relayPagination() };
  const options: Partial<CacheExchangeOpts> = {
    schema: schema as CacheExchangeOpts['schema'],
    keys: {
      Presence: ({ user }) => (user as { id?: string } | null)?.id ?? null,
      PageInfo: none,
      UserEdge: none,
      FriendEdge: none,
      InviteEdge: none,
      MemberEdge: none,
      ConversationEdge: none,
      // A message stands in one place of its conversation, so its edge is one, too. A search has places of its own: it asks
      // for nodes.
      MessageEdge: ({ node }) => (node as { id?: string } | null)?.id ?? null,
      UserConnection: none,
      FriendConnection: none,
      InviteConnection: none,
      MemberConnection: none,
      ConversationConnection: none,
      MessageConnection: none,
      GroupPreview: none,
      ReactionCount: none,
      ServerInfo: none,
      ServerLimits: none,
      RateLimit: none,
      UserError: none,
      EventEnvelope: none,
      MessageEvent: none,
      ReadReceipt: none,
      TypingEvent: none,
      InviteChanged: none,
      ConversationChanged: none,
      ConversationRemoved: none,
      MemberChanged: none,
      MemberRemoved: none,
      FriendshipChanged: none,
      CaughtUp: none,
      Heartbeat: none,
      ResyncRequired: none,
    },
    resolvers: {
      DirectConversation: pages,
      Group: pages,
      Query: { searchUsers: relayPagination(), searchMessages: relayPagination() },
      Viewer: {
        friends: relayPagination(),
        invites: relayPagination(),
        conversations: relayPagination(),
        blockedUsers: relayPagination(),
      },
    },
    optimistic,
    updates: {
      DirectConversation: { messages: missed },
      Group: { messages: missed },
      Mutation: {
        sendMessage: (result, _variables, cache) => {
          const edge = (result as SendMessageMutation).sendMessage.messageEdge;
          if (edge) append(edge.node, cache, heard.gap);
        },
        updateProfile: (_result, { input }, cache) => {
          // With the switch the others' read positions come or go, and only a new question shows which.
          if ((input as UpdateProfileInput).readReceipts !== undefined) forgetMembers(cache);
        },
      },
      Subscription: {
        events: (result, _variables, cache) => apply((result as EventsSubscription).events.event, cache, heard),
      },
    },
  };
  return cacheExchange(options);
}

// Every member of the union. An event carries the state as it is, so that applying one twice changes nothing.
function apply(event: Event, cache: Cache, heard: Heard): void {
  switch (event.__typename) {
    case 'MessageEvent': {
      // Whatever else shows the message finds it in the cache, under its id. Only where it stands is to be said.
      if (event.type !== 'ADDED') return;
      const { node } = event.messageEdge;
      append(node, cache, heard.gap);
      // To write is to have read: nobody says so in another event.
      moveReadPosition({ conversationId: node.conversation.id, user: node.sender, sequence: node.sequence, readAt: node.createdAt }, cache);
      return;
    }
    case 'ReadReceipt':
      moveReadPosition(event, cache);
      return;
    case 'TypingEvent':
      heard.typing(event);
      return;
    case 'Presence':
      cache.link({ __typename: 'User', id: event.user.id }, 'presence', { __typename: 'Presence', user: event.user });
      return;
    case 'InviteChanged':
      forget(cache, viewer(cache), 'invites');
      return;
    case 'ConversationChanged':
      putFirst(event.conversation, cache);
      return;
    case 'ConversationRemoved':
      remove(event.conversationId, cache);
      return;
    case 'MemberChanged':
    case 'MemberRemoved':
      for (const __typename of CONVERSATIONS) {
        forget(cache, { __typename, id: event.conversationId }, 'members');
      }
      heard.membership(event.conversationId);
      return;
    case 'FriendshipChanged':
      // Who is blocked has no invites any more that the viewer sees.
      forget(cache, viewer(cache), 'friends', 'blockedUsers', 'invites');
      forget(cache, { __typename: 'User', id: event.user.id }, 'conversation');
      // Read positions that moved while the conversation was closed are told by nothing else.
      forgetMembers(cache);
      return;
    case 'CaughtUp':
    case 'Heartbeat':
    case 'ResyncRequired':
      // Of the stream itself, and read where it is heard.
      return;
    default:
      // A newer server may say more: see the union's description.
      event satisfies never;
  }
}

const CONVERSATIONS = ['DirectConversation', 'Group'] as const;

const viewer = (cache: Cache) => cache.resolve('Query', 'viewer') as string | null;

/** Lets a field be asked for again where it is shown, whatever its arguments. */
function forget(cache: Cache, entity: Parameters<Cache['inspectFields']>[0], ...names: string[]) {
  if (!entity) return;
  for (const { fieldName, arguments: given } of cache.inspectFields(entity)) {
    if (names.includes(fieldName)) cache.invalidate(entity, fieldName, given ?? undefined);
  }
}

/** Lets the members of every conversation be asked for again where they are shown. */
function forgetMembers(cache: Cache) {
  for (const { fieldName, fieldKey } of cache.inspectFields('Query'))
    if (fieldName === 'conversation') forget(cache, cache.resolve('Query', fieldKey) as string | null, 'members');
}

/** The stored pages of a list, with the keys of what is on them. */
function pagesOf(cache: Cache, entity: Parameters<Cache['inspectFields']>[0], name: string, of: 'nodes' | 'edges') {
  return cache
    .inspectFields(entity)
    .filter(({ fieldName }) => fieldName === name)
    .map(({ fieldKey, arguments: given }) => {
      const page = cache.resolve(entity, fieldKey) as string | null;
      return { given: given ?? {}, page, keys: page ? ((cache.resolve(page, of) as string[] | null) ?? []) : [] };
    });
}

/** Puts a new message at the end of its conversation, once. An answer and an event both bring it. */
function append(message: MessageItemFragment, cache: Cache, gap: Heard['gap']) {
  const node = cache.keyOfEntity({ __typename: 'Message', id: message.id });
  const edge = `MessageEdge:${message.id}`;
  const sequenceOf = (key: string) => (cache.resolve(key, 'sequence') as number | null) ?? 0;
  for (const __typename of CONVERSATIONS) {
    const conversation = { __typename, id: message.conversation.id };
    for (const { given, page, keys } of pagesOf(cache, conversation, 'messages', 'edges')) {
      if (!page || given.before || given.after) continue;
      const last = keys.at(-1);
      const newest = last ? sequenceOf(cache.resolve(last, 'node') as string) : 0;
      if (message.sequence <= newest) continue;
      if (message.sequence === newest + 1) cache.link(page, 'edges', [...keys, edge]);
      else gap(message);
    }
    if (!node || !cache.resolve(conversation, 'id')) continue;
    const last = cache.resolve(conversation, 'lastMessage') as string | null;
    if (!last || sequenceOf(last) < message.sequence) cache.link(conversation, 'lastMessage', node);
  }
}

/** Shows a conversation in the list if it is not there. In which place the list decides by its last activity. */
function putFirst(conversation: Of<'ConversationChanged'>['conversation'], cache: Cache) {
  const key = cache.keyOfEntity(conversation);
  const me = viewer(cache);
  if (!key || !me) return;
  // Who comes back to a group was told before that it is not there.
  const { id } = conversation;
  if (cache.resolve('Query', 'conversation', { id }) === null) cache.invalidate('Query', 'conversation', { id });
  const pages = pagesOf(cache, me, 'conversations', 'nodes');
  const first = pages.find(({ given }) => !given.after);
  if (first?.page && !pages.some(({ keys }) => keys.includes(key))) cache.link(first.page, 'nodes', [key, ...first.keys]);
}

function remove(conversationId: string, cache: Cache) {
  const me = viewer(cache);
  for (const __typename of CONVERSATIONS) {
    const key = cache.keyOfEntity({ __typename, id: conversationId });
    for (const { page, keys } of me && key ? pagesOf(cache, me, 'conversations', 'nodes') : []) {
      if (page && keys.includes(key!)) cache.link(page, 'nodes', keys.filter((node) => node !== key));
    }
    cache.invalidate({ __typename, id: conversationId });
  }
}

function moveReadPosition(receipt: Pick<Of<'ReadReceipt'>, 'conversationId' | 'sequence' | 'readAt'> & { user: { id: string } }, cache: Cache) {
  cache.updateQuery({ query: Members, variables: { id: receipt.conversationId } }, (data) => {
    const members = data?.conversation?.members;
    if (!members) return data;
    const edges = members.edges.map((edge) =>
      edge.node.id === receipt.user.id && edge.lastReadSequence < receipt.sequence
        ? { ...edge, lastReadSequence: receipt.sequence, lastReadAt: receipt.readAt }
        : edge,
    );
    return { ...data, conversation: { ...data.conversation!, members: { ...members, edges } } };
  });
}
