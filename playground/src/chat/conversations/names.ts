import type { ConversationItemFragment } from '../../gql/graphql';
import type { AvatarProps } from '../ui';

/** What a conversation is called: the group's name, or the other person's. */
export const titleOf = (conversation: ConversationItemFragment) =>
  conversation.__typename === 'Group' ? conversation.name : conversation.peer.displayName;

export const avatarOf = (conversation: ConversationItemFragment): AvatarProps =>
  conversation.__typename === 'Group'
    ? { id: conversation.id, name: conversation.name, isGroup: true }
    : { id: conversation.peer.id, name: conversation.peer.displayName, presence: conversation.peer.presence?.status ?? null };
