import type { GroupItemFragment, PersonFragment } from '../../gql/graphql';
import { Badge, Button, Dialog, EmptyState, inWords, Notice, Pages, PeopleIcon, Tabs, usePages, useSubmit } from '../ui';
import { usePeople } from '../people/actions';
import { FRIENDS } from '../people/documents';
import { InviteByEmail } from '../people/InviteByEmail';
import { InviteByUsername } from '../people/InviteByUsername';
import { PersonRow } from '../people/PersonRow';
import { useState } from 'react';

export interface InviteDialogProps {
  group: GroupItemFragment;
  isOpen: boolean;
  onOpenChange(isOpen: boolean): void;
}

/** Invites people into a group: friends, somebody by username, or whoever reads a mailbox. */
export const InviteDialog = ({ group, isOpen, onOpenChange }: InviteDialogProps) => (
  <Dialog title={`Invite people to ${group.name}`} isOpen={isOpen} onOpenChange={onOpenChange}>
    <Tabs
      label="Whom to invite"
      tabs={[
        { id: 'friends', label: 'Friends', content: <Friends groupId={group.id} /> },
        { id: 'username', label: 'By username', content: <InviteByUsername groupId={group.id} /> },
        { id: 'email', label: 'By mail', content: <InviteByEmail groupId={group.id} /> },
      ]}
    />
  </Dialog>
);

function Friends({ groupId }: { groupId: string }) {
  const friends = usePages(FRIENDS, {}, (data) => data.viewer?.friends);
  return (
    <Pages
      pages={friends}
      label="Friends to invite"
      keyOf={({ node }) => node.id}
      empty={
        <EmptyState icon={<PeopleIcon />} title="No friends yet">
          Make a link, or invite by username or by mail.
        </EmptyState>
      }
    >
      {({ node }) => <Friend groupId={groupId} person={node} />}
    </Pages>
  );
}

function Friend({ groupId, person }: { groupId: string; person: PersonFragment }) {
  const { invite } = usePeople();
  const [isInvited, setInvited] = useState(false);
  const { submit, pending, errors } = useSubmit(async () => {
    const refused = await invite({ group: { groupId, username: person.username } });
    setInvited(refused.length === 0);
    return refused;
  });
  return (
    <>
      <PersonRow
        person={person}
        trailing={
          isInvited ? (
            <Badge kind="accent">Invited</Badge>
          ) : (
            <Button isPending={pending} onPress={() => void submit()} aria-label={`Invite ${person.displayName}`}>
              Invite
            </Button>
          )
        }
      />
      {errors.length > 0 && <Notice kind="danger">{inWords(errors)}</Notice>}
    </>
  );
}
