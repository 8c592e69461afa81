import { useState } from 'react';
import type { GroupItemFragment, GroupMembersQuery, Role } from '../../gql/graphql';
import { Badge, Confirm, IconButton, inWords, Menu, MenuItem, MoreIcon, Notice, Pages, Section, usePages, useSubmit } from '../ui';
import { PersonRow } from '../people/PersonRow';
import { useGroups } from './actions';
import { GROUP_MEMBERS } from './documents';
import { mayDo } from './mayDo';

type Member = NonNullable<GroupMembersQuery['conversation']>['members']['edges'][number];

/** Who is in a group, with what the viewer may do about them. */
export function Members({ group, onPerson }: { group: GroupItemFragment; onPerson(userId: string): void }) {
  const members = usePages(GROUP_MEMBERS, { id: group.id }, (data) => data.conversation?.members);
  return (
    <Section title={`Members (${members.totalCount ?? group.memberCount})`} bare>
      <Pages pages={members} label="Members" keyOf={({ node }) => node.id} empty={<p>Nobody to be seen.</p>}>
        {(member) => <MemberRow group={group} member={member} onPress={() => onPerson(member.node.id)} />}
      </Pages>
    </Section>
  );
}

const ROLE: Record<Role, string> = { OWNER: 'Owner', ADMIN: 'Admin', MEMBER: 'Member' };

function MemberRow({ group, member, onPress }: { group: GroupItemFragment; member: Member; onPress(): void }) {
  const { changeRole, removeMember, transferOwnership } = useGroups();
  const [asks, setAsks] = useState<'remove' | 'transfer' | null>(null);
  const { node: person, role } = member;
  const isSelf = person.relationship === 'SELF';
  const may = mayDo(group.viewerRole, role, isSelf);
  const close = (isOpen: boolean) => !isOpen && setAsks(null);

  const roleChange = useSubmit((to: Role) => changeRole(group.id, person.id, to));

  return (
    <>
      <PersonRow
        person={person}
        subtitle={isSelf ? `@${person.username} · you` : undefined}
        onPress={onPress}
        trailing={
          <>
            {role !== 'MEMBER' && <Badge kind={role === 'OWNER' ? 'warm' : 'accent'}>{ROLE[role]}</Badge>}
            {may.length > 0 && (
              <Menu
                label={`${person.displayName} in this group`}
                trigger={
                  <IconButton label={`Manage ${person.displayName}`} isPending={roleChange.pending}>
                    <MoreIcon />
                  </IconButton>
                }
              >
                {may.includes('promote') && <MenuItem label="Make an admin" onAction={() => void roleChange.submit('ADMIN')} />}
                {may.includes('demote') && (
                  <MenuItem label={isSelf ? 'Give up being an admin' : 'Make a member'} onAction={() => void roleChange.submit('MEMBER')} />
                )}
                {may.includes('transfer') && <MenuItem label="Hand the group over" onAction={() => setAsks('transfer')} />}
                {may.includes('remove') && <MenuItem label="Remove from the group" danger onAction={() => setAsks('remove')} />}
              </Menu>
            )}
          </>
        }
      />
      {roleChange.errors.length > 0 && <Notice kind="danger">{inWords(roleChange.errors)}</Notice>}
      <Confirm
        title={`Remove ${person.displayName}?`}
        action="Remove"
        isOpen={asks === 'remove'}
        onOpenChange={close}
        onConfirm={async () => inWords(await removeMember(group.id, person.id))}
      >
        <p>They can no longer read the group. What they wrote stays.</p>
      </Confirm>
      <Confirm
        title={`Hand ${group.name} over to ${person.displayName}?`}
        action="Hand over"
        isOpen={asks === 'transfer'}
        onOpenChange={close}
        onConfirm={async () => inWords(await transferOwnership(group.id, person.id))}
      >
        <p>They own it then, and you become an admin. Only they can give it back.</p>
      </Confirm>
    </>
  );
}
