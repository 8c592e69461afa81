// What a change will most likely come to, shown until the server has said so, and taken back where it refuses.
import type { Cache, OptimisticMutationConfig } from '@urql/exchange-graphcache';
import type { AddReactionMutationVariables, DeleteMessageMutationVariables, EditMessageMutationVariables, MarkReadMutationVariables, ReactionInput } from '../../gql/graphql';

export const optimistic: OptimisticMutationConfig = {
  editMessage: ({ input }: EditMessageMutationVariables) =>
    changed({ id: input.messageId, body: input.body, editedAt: new Date().toISOString() }),
  deleteMessage: ({ input }: DeleteMessageMutationVariables) =>
    changed({ id: input.messageId, body: null, deletedAt: new Date().toISOString(), reactions: [] }),
  addReaction: ({ input }: AddReactionMutationVariables, cache) => react(input, cache, true),
  removeReaction: ({ input }: AddReactionMutationVariables, cache) => react(input, cache, false),
  markRead: ({ input }: MarkReadMutationVariables, cache) => {
    const id = input.conversationId;
    const __typename = cache.resolve({ __typename: 'Group', id }, 'id') ? 'Group' : 'DirectConversation';
    return { __typename: 'MarkReadPayload', conversation: { __typename, id, unreadCount: 0 }, userErrors: [] };
  },
};

const changed = (node: { id: string; [field: string]: unknown }) => ({
  __typename: 'MessagePayload',
  messageEdge: { __typename: 'MessageEdge', node: { __typename: 'Message', ...node } },
  userErrors: [],
});

function react({ messageId, emoji }: ReactionInput, cache: Cache, isOn: boolean) {
  const keys = (cache.resolve({ __typename: 'Message', id: messageId }, 'reactions') as string[] | null) ?? [];
  const reactions = keys.map((key) => ({
    __typename: 'ReactionCount',
    emoji: cache.resolve(key, 'emoji') as string,
    count: cache.resolve(key, 'count') as number,
    viewerHasReacted: cache.resolve(key, 'viewerHasReacted') as boolean,
  }));
  const there = reactions.find((reaction) => reaction.emoji === emoji);
  if (!there && isOn) reactions.push({ __typename: 'ReactionCount', emoji, count: 1, viewerHasReacted: true });
  if (there && there.viewerHasReacted !== isOn) {
    there.count += isOn ? 1 : -1;
    there.viewerHasReacted = isOn;
  }
  return changed({ id: messageId, reactions: reactions.filter(({ count }) => count > 0) });
}
