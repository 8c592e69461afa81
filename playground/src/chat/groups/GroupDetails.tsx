import { useState } from 'react';
import { useQuery } from 'urql';
import type { GroupItemFragment } from '../../gql/graphql';
import { Avatar, Button, EditIcon, EmptyState, inSentence, Loading, PeopleIcon, PersonAddIcon, Section, Sheet, Trouble } from '../ui';
import { PersonDetails } from '../people/PersonDetails';
import { GROUP } from './documents';
import { EditGroup } from './EditGroup';
import { Ending } from './Ending';
import styles from './Group.module.css';
import { InviteDialog } from './InviteDialog';
import { InviteLinks } from './InviteLinks';
import { Members } from './Members';

export interface GroupDetailsProps {
  /** `conv_…` of the group. */
  groupId: string;
  /** When what was pressed leads elsewhere, or the group is no more. */
  onClose?: () => void;
}

/** A group: what it is about, who is in it, and what the viewer may do with it. */
export function GroupDetails({ groupId, onClose }: GroupDetailsProps) {
  const [{ data, error, fetching }, refetch] = useQuery({ query: GROUP, variables: { id: groupId }, requestPolicy: 'cache-and-network' });
  const [person, setPerson] = useState<string | null>(null);
  const group = data?.conversation?.__typename === 'Group' ? data.conversation : null;
  if (!group) {
    if (error) return <Trouble message={inSentence(error)} onRetry={() => refetch({ requestPolicy: 'network-only' })} />;
    if (fetching) return <Loading />;
    return <EmptyState icon={<PeopleIcon />} title="This group is not here">You are not in it any more, or it was deleted.</EmptyState>;
  }
  const manages = group.viewerRole !== 'MEMBER' && group.viewerCanSend;
  return (
    <div className={styles.stack}>
      <About group={group} canEdit={manages} />
      <div className={styles.part}>
        <Members group={group} onPerson={setPerson} />
      </div>
      {manages && (
        <div className={styles.part}>
          <InviteLinks groupId={group.id} />
        </div>
      )}
      {group.viewerCanSend && (
        <div className={styles.part}>
          <Section title="Leave" bare>
            <Ending group={group} onEnded={onClose} />
          </Section>
        </div>
      )}
      <Sheet title="Person" isOpen={person !== null} onOpenChange={(isOpen) => !isOpen && setPerson(null)}>
        {person && (
          <PersonDetails
            userId={person}
            onClose={() => {
              setPerson(null);
              onClose?.();
            }}
          />
        )}
      </Sheet>
    </div>
  );
}

function About({ group, canEdit }: { group: GroupItemFragment; canEdit: boolean }) {
  const [edits, setEdits] = useState(false);
  const [invites, setInvites] = useState(false);
  if (edits) return <EditGroup group={group} onDone={() => setEdits(false)} />;
  return (
    <>
      <div className={styles.about}>
        <Avatar id={group.id} name={group.name} size="large" isGroup />
        <bdi className={styles.name}>{group.name}</bdi>
        <span className={styles.soft}>{group.memberCount === 1 ? 'Only you' : `${group.memberCount} members`}</span>
        {group.description && (
          <p dir="auto" className={styles.description}>
            {group.description}
          </p>
        )}
        {canEdit && (
          <Button kind="quiet" className={styles.edit} onPress={() => setEdits(true)}>
            <EditIcon size={18} /> Edit name and description
          </Button>
        )}
      </div>
      {canEdit && (
        <div className={styles.actions}>
          <Button kind="primary" onPress={() => setInvites(true)}>
            <PersonAddIcon size={18} /> Invite people
          </Button>
          <InviteDialog group={group} isOpen={invites} onOpenChange={setInvites} />
        </div>
      )}
    </>
  );
}
