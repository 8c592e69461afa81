import { useState } from 'react';
import { useQuery } from 'urql';
import type { PersonFragment } from '../../gql/graphql';
import { conversationHash, navigate } from '../api';
import { Avatar, BlockIcon, Button, ChatIcon, Confirm, EmptyState, dayInFull, inSentence, inWords, Loading, Notice, PersonAddIcon, PersonIcon, Trouble, useSubmit } from '../ui';
import { usePeople } from './actions';
import { INVITES, PERSON } from './documents';
import { InviteDialog } from './InviteDialog';
import { InviteEntry } from './InviteEntry';
import styles from './People.module.css';
import { Presence } from './Presence';

export interface PersonDetailsProps {
  userId: string;
  /** When what was pressed leads elsewhere. */
  onClose?: () => void;
}

/** Somebody, and what can be between them and the viewer. */
export function PersonDetails({ userId, onClose }: PersonDetailsProps) {
  const [{ data, error, fetching }, refetch] = useQuery({ query: PERSON, variables: { id: userId }, requestPolicy: 'cache-and-network' });
  const person = data?.node?.__typename === 'User' ? data.node : null;
  if (!person) {
    if (error) return <Trouble message={inSentence(error)} onRetry={() => refetch({ requestPolicy: 'network-only' })} />;
    if (fetching) return <Loading />;
    return <EmptyState icon={<PersonIcon />} title="Nobody is here">Perhaps the account was deleted.</EmptyState>;
  }
  return (
    <div className={styles.stack}>
      <div className={styles.person}>
        <Avatar id={person.id} name={person.displayName} size="large" presence={person.presence?.status} />
        <bdi className={styles.name}>{person.displayName}</bdi>
        <span className={styles.soft}>@{person.username}</span>
        <span className={styles.soft}>
          <Presence of={person} />
        </span>
        <span className={styles.soft}>Here since {dayInFull(person.createdAt)}</span>
      </div>
      <Actions person={person} onClose={onClose} />
    </div>
  );
}

function Actions({ person, onClose }: { person: PersonFragment; onClose?: () => void }) {
  const { removeFriend, block, unblock } = usePeople();
  const [asks, setAsks] = useState<'invite' | 'remove' | 'block' | null>(null);
  const unblocking = useSubmit(() => unblock(person));
  const { relationship, conversation } = person;
  const close = (isOpen: boolean) => !isOpen && setAsks(null);
  const name = <bdi>{person.displayName}</bdi>;

  function go(hash: string) {
    navigate(hash);
    onClose?.();
  }

  if (relationship === 'SELF')
    return (
      <div className={styles.actions}>
        <p className={styles.soft}>This is you, as others see you.</p>
        <Button onPress={() => go('#/settings')}>Change your profile</Button>
      </div>
    );
  return (
    <>
      <div className={styles.actions}>
        {conversation && (
          <Button kind={conversation.viewerCanSend ? 'primary' : 'plain'} onPress={() => go(conversationHash(conversation.id))}>
            <ChatIcon size={18} /> {conversation.viewerCanSend ? 'Message' : 'Read your messages'}
          </Button>
        )}
        {relationship === 'NONE' && (
          <Button kind="primary" onPress={() => setAsks('invite')}>
            <PersonAddIcon size={18} /> Invite to be friends
          </Button>
        )}
        {(relationship === 'INVITE_SENT' || relationship === 'INVITE_RECEIVED') && <BetweenThem person={person} isIncoming={relationship === 'INVITE_RECEIVED'} />}
        {relationship === 'BLOCKED' && (
          <>
            <Notice>You have blocked {name}. They are not told.</Notice>
            <Button isPending={unblocking.pending} onPress={() => void unblocking.submit()}>
              Unblock
            </Button>
            {unblocking.errors.length > 0 && <Notice kind="danger">{inWords(unblocking.errors)}</Notice>}
          </>
        )}
      </div>
      {relationship !== 'BLOCKED' && (
        <div className={`${styles.actions} ${styles.divided}`}>
          {relationship === 'FRIEND' && (
            <Button kind="danger" onPress={() => setAsks('remove')}>
              Remove friend
            </Button>
          )}
          <Button kind="danger" onPress={() => setAsks('block')}>
            <BlockIcon size={18} /> Block
          </Button>
        </div>
      )}
      <InviteDialog person={person} isOpen={asks === 'invite'} onOpenChange={close} />
      <Confirm
        title={`Remove ${person.displayName} from your friends?`}
        action="Remove friend"
        isOpen={asks === 'remove'}
        onOpenChange={close}
        onConfirm={async () => inWords(await removeFriend(person))}
      >
        <p>Both of you still read what you wrote to each other. To write again, one of you sends an invite.</p>
      </Confirm>
      <Confirm
        title={`Block ${person.displayName}?`}
        action="Block"
        isOpen={asks === 'block'}
        onOpenChange={close}
        onConfirm={async () => inWords(await block(person))}
      >
        <p>
          You are no longer friends, {name} cannot invite you, and neither of you sees whether the other is online. What they write in groups that you share is still shown. They are not told.
        </p>
      </Confirm>
    </>
  );
}

/** The friend invite that is pending between the two. */
function BetweenThem({ person, isIncoming }: { person: PersonFragment; isIncoming: boolean }) {
  const variables = { direction: isIncoming ? ('INCOMING' as const) : ('OUTGOING' as const), kind: null, status: 'PENDING' as const };
  const [{ data, fetching }] = useQuery({ query: INVITES, variables, requestPolicy: 'cache-and-network' });
  const invite = data?.viewer?.invites.edges
    .map(({ node }) => node)
    .find(({ kind, inviter, invitee }) => kind !== 'GROUP' && (isIncoming ? inviter : invitee)?.id === person.id);
  if (invite) return <InviteEntry invite={invite} isIncoming={isIncoming} />;
  if (fetching) return <Loading />;
  return <Button onPress={() => navigate('#/people/invites')}>See your invites</Button>;
}
