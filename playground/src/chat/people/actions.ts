// The verbs of people: each returns why it was refused.
import { useClient } from 'urql';
import type { SendInviteInput, UserItemFragment, WaitingFragment } from '../../gql/graphql';
import { conversationHash, navigate } from '../api';
import { refusals, toast, type Refusals } from '../ui';
import { ACCEPT_INVITE, BLOCK_USER, REJECT_INVITE, REMOVE_FRIEND, REVOKE_INVITE, SEND_INVITE, UNBLOCK_USER } from './documents';

export function usePeople() {
  const client = useClient();
  return {
    async invite(input: SendInviteInput): Promise<Refusals> {
      const { data, error } = await client.mutation(SEND_INVITE, { input });
      const { invite, conversation } = data?.sendInvite ?? {};
      // Their own invite was on its way, and is accepted by this.
      if (invite && conversation) welcome(invite, conversation.id);
      else if (invite) toast(`Your invite to ${invite.invitee?.displayName ?? invite.email ?? 'them'} is on its way.`);
      return refusals(error, data?.sendInvite);
    },

    async accept({ id }: Pick<WaitingFragment, 'id'>): Promise<Refusals> {
      const { data, error } = await client.mutation(ACCEPT_INVITE, { input: { inviteId: id } });
      const { invite, conversation } = data?.acceptInvite ?? {};
      if (invite && conversation) welcome(invite, conversation.id);
      return refusals(error, data?.acceptInvite);
    },

    async reject({ id }: Pick<WaitingFragment, 'id'>): Promise<Refusals> {
      const { data, error } = await client.mutation(REJECT_INVITE, { input: { inviteId: id } });
      return refusals(error, data?.rejectInvite);
    },

    async revoke({ id }: Pick<WaitingFragment, 'id'>): Promise<Refusals> {
      const { data, error } = await client.mutation(REVOKE_INVITE, { input: { inviteId: id } });
      return refusals(error, data?.revokeInvite);
    },

    async removeFriend({ id }: Pick<UserItemFragment, 'id'>): Promise<Refusals> {
      const { data, error } = await client.mutation(REMOVE_FRIEND, { input: { userId: id } });
      return refusals(error, data?.removeFriend);
    },

    async block({ id }: Pick<UserItemFragment, 'id'>): Promise<Refusals> {
      const { data, error } = await client.mutation(BLOCK_USER, { input: { userId: id } });
      return refusals(error, data?.blockUser);
    },

    async unblock({ id }: Pick<UserItemFragment, 'id'>): Promise<Refusals> {
      const { data, error } = await client.mutation(UNBLOCK_USER, { input: { userId: id } });
      return refusals(error, data?.unblockUser);
    },
  };
}

function welcome({ kind, group, inviter, invitee }: WaitingFragment, conversationId: string) {
  const friend = inviter.relationship === 'SELF' ? invitee : inviter;
  toast(kind === 'GROUP' && group ? `You are in ${group.name} now.` : `You and ${friend?.displayName ?? 'they'} are friends now.`, 'plain', {
    label: 'Open',
    onPress: () => navigate(conversationHash(conversationId)),
  });
}
