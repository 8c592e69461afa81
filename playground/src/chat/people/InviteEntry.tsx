import type { ReactNode } from 'react';
import type { InviteStatus, WaitingFragment } from '../../gql/graphql';
import { Avatar, Badge, Button, inWords, MailIcon, Notice, RelativeTime, Row, useSubmit } from '../ui';
import { usePeople } from './actions';
import styles from './People.module.css';

/** An invite, with what the viewer can answer. */
export function InviteEntry({ invite, isIncoming }: { invite: WaitingFragment; isIncoming: boolean }) {
  const { accept, reject, revoke } = usePeople();
  const yes = useSubmit(() => accept(invite));
  const no = useSubmit(() => (isIncoming ? reject(invite) : revoke(invite)));
  const isBusy = yes.pending || no.pending;
  const errors = [...yes.errors, ...no.errors];
  const name = nameOf(invite, isIncoming);
  const isPending = invite.status === 'PENDING';
  return (
    <>
      <Row
        leading={<Face invite={invite} isIncoming={isIncoming} name={name} />}
        title={<bdi>{name}</bdi>}
        subtitle={
          <>
            {meaning(invite, isIncoming)}
            {' · '}
            {isPending ? (
              <>
                ends <RelativeTime at={invite.expiresAt} />
              </>
            ) : (
              <RelativeTime at={invite.respondedAt ?? invite.createdAt} />
            )}
            {invite.note && (
              <span dir="auto" className={styles.note}>
                {invite.note}
              </span>
            )}
          </>
        }
        trailing={
          !isPending ? (
            <Badge kind={invite.status === 'ACCEPTED' ? 'accent' : 'plain'}>{OUTCOME[invite.status]}</Badge>
          ) : isIncoming ? (
            <>
              <Button aria-label={`Decline the invite of ${name}`} isPending={no.pending} isDisabled={isBusy && !no.pending} onPress={() => void no.submit()}>
                Decline
              </Button>
              <Button
                kind="primary"
                aria-label={`Accept the invite of ${name}`}
                isPending={yes.pending}
                isDisabled={isBusy && !yes.pending}
                onPress={() => void yes.submit()}
              >
                Accept
              </Button>
            </>
          ) : (
            <Button aria-label={`Take back the invite to ${name}`} isPending={no.pending} onPress={() => void no.submit()}>
              Take back
            </Button>
          )
        }
      />
      {errors.length > 0 && <Notice kind="danger">{inWords(errors)}</Notice>}
    </>
  );
}

const OUTCOME: Record<InviteStatus, string> = {
  PENDING: 'Waiting',
  ACCEPTED: 'Accepted',
  REJECTED: 'Declined',
  EXPIRED: 'Expired',
  REVOKED: 'Taken back',
};

function nameOf({ kind, group, inviter, invitee, email }: WaitingFragment, isIncoming: boolean): string {
  if (isIncoming) return kind === 'GROUP' && group ? group.name : inviter.displayName;
  return invitee?.displayName ?? email ?? 'Somebody';
}

function meaning({ kind, group, inviter, invitee, email }: WaitingFragment, isIncoming: boolean): ReactNode {
  const also = group && kind !== 'GROUP' ? `, and to join ${group.name}` : '';
  if (!isIncoming) {
    const to = invitee ? `@${invitee.username}` : email ? 'by mail' : '';
    return kind === 'GROUP' ? `${to} to join ${group?.name ?? 'a group'}` : `${to} to be friends${also}`;
  }
  if (kind !== 'GROUP') return `@${inviter.username} invites you to be friends${also}`;
  return (
    <>
      <bdi>{inviter.displayName}</bdi> invites you to this group
      {group && ` of ${group.memberCount}`}
    </>
  );
}

function Face({ invite: { kind, group, inviter, invitee }, isIncoming, name }: { invite: WaitingFragment; isIncoming: boolean; name: string }) {
  if (isIncoming && kind === 'GROUP') return <Avatar id={group?.id ?? name} name={name} isGroup />;
  const person = isIncoming ? inviter : invitee;
  if (person) return <Avatar id={person.id} name={person.displayName} presence={person.presence?.status} />;
  return (
    <span className={styles.mail}>
      <MailIcon />
    </span>
  );
}
