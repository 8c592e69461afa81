// The verbs of a group: each returns why it was refused.
import { useClient } from 'urql';
import type { CreateGroupInput, CreateInviteLinkInput, GroupItemFragment, Role, UpdateGroupInput } from '../../gql/graphql';
import { refusals, type Refusals } from '../ui';
import {
  CHANGE_MEMBER_ROLE,
  CREATE_GROUP,
  CREATE_INVITE_LINK,
  DELETE_GROUP,
  LEAVE_GROUP,
  REMOVE_MEMBER,
  REVOKE_INVITE_LINK,
  TRANSFER_OWNERSHIP,
  UPDATE_GROUP,
} from './documents';

export function useGroups() {
  const client = useClient();
  return {
    async create(input: CreateGroupInput, created: (group: GroupItemFragment) => void): Promise<Refusals> {
      const { data, error } = await client.mutation(CREATE_GROUP, { input });
      if (data?.createGroup.group) created(data.createGroup.group);
      return refusals(error, data?.createGroup);
    },

    async update(input: UpdateGroupInput): Promise<Refusals> {
      const { data, error } = await client.mutation(UPDATE_GROUP, { input });
      return refusals(error, data?.updateGroup);
    },

    async remove(groupId: string): Promise<Refusals> {
      const { data, error } = await client.mutation(DELETE_GROUP, { input: { groupId } });
      return refusals(error, data?.deleteGroup);
    },

    async leave(groupId: string): Promise<Refusals> {
      const { data, error } = await client.mutation(LEAVE_GROUP, { input: { groupId } });
      return refusals(error, data?.leaveGroup);
    },

    async changeRole(groupId: string, userId: string, role: Role): Promise<Refusals> {
      const { data, error } = await client.mutation(CHANGE_MEMBER_ROLE, { input: { groupId, userId, role } });
      return refusals(error, data?.changeMemberRole);
    },

    async removeMember(groupId: string, userId: string): Promise<Refusals> {
      const { data, error } = await client.mutation(REMOVE_MEMBER, { input: { groupId, userId } });
      return refusals(error, data?.removeMember);
    },

    async transferOwnership(groupId: string, userId: string): Promise<Refusals> {
      const { data, error } = await client.mutation(TRANSFER_OWNERSHIP, { input: { groupId, userId } });
      return refusals(error, data?.transferOwnership);
    },

    async createLink(input: CreateInviteLinkInput, created: (code: string) => void): Promise<Refusals> {
      const { data, error } = await client.mutation(CREATE_INVITE_LINK, { input });
      const code = data?.createInviteLink.inviteLink?.code;
      if (code) created(code);
      return refusals(error, data?.createInviteLink);
    },

    async revokeLink(inviteLinkId: string): Promise<Refusals> {
      const { data, error } = await client.mutation(REVOKE_INVITE_LINK, { input: { inviteLinkId } });
      return refusals(error, data?.revokeInviteLink);
    },
  };
}
