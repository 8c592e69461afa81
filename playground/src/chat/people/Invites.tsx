import { useState } from 'react';
import type { InviteDirection, InviteKind } from '../../gql/graphql';
import { Button, EmptyState, MailIcon, Pages, Section, Select, usePages } from '../ui';
import { navigate } from '../api';
import { INVITES } from './documents';
import { InviteEntry } from './InviteEntry';
import styles from './People.module.css';

type Kind = InviteKind | 'ANY';
type Status = 'PENDING' | 'ANY';

/** What waits for the viewer, what the viewer waits for, and what came of the rest. */
export function Invites() {
  const [kind, setKind] = useState<Kind>('ANY');
  const [status, setStatus] = useState<Status>('PENDING');
  return (
    <div className={styles.stack}>
      <div className={styles.filters}>
        <Select<Status> label="Show" options={STATUSES} value={status} onChange={setStatus} />
        <Select<Kind> label="Kind" options={KINDS} value={kind} onChange={setKind} />
      </div>
      <Section title="For you">
        <List direction="INCOMING" kind={kind} status={status} />
      </Section>
      <Section title="From you" action={<Button onPress={() => navigate('#/people/find')}>Invite somebody</Button>}>
        <List direction="OUTGOING" kind={kind} status={status} />
      </Section>
    </div>
  );
}

const STATUSES = [
  { value: 'PENDING', label: 'Waiting' },
  { value: 'ANY', label: 'All' },
] as const;

const KINDS = [
  { value: 'ANY', label: 'All' },
  { value: 'FRIEND', label: 'Friends' },
  { value: 'GROUP', label: 'Groups' },
  { value: 'EMAIL', label: 'Email' },
] as const;

function List({ direction, kind, status }: { direction: InviteDirection; kind: Kind; status: Status }) {
  const filter = { direction, kind: kind === 'ANY' ? null : kind, status: status === 'ANY' ? null : status };
  const pages = usePages(INVITES, filter, (data) => data.viewer?.invites);
  // An invite that was answered a moment ago is no longer one that waits, whatever list it is still in.
  const edges = pages.edges?.filter(({ node }) => status === 'ANY' || node.status === 'PENDING');
  const isIncoming = direction === 'INCOMING';
  return (
    <Pages
      pages={{ ...pages, edges }}
      label={isIncoming ? 'Invites for you' : 'Invites from you'}
      keyOf={({ node }) => node.id}
      empty={
        <EmptyState icon={<MailIcon />} title={status === 'PENDING' ? 'Nothing waits' : 'None yet'}>
          {isIncoming ? 'When somebody invites you, you decide here.' : 'Whom you invite is here until they answer.'}
        </EmptyState>
      }
    >
      {({ node }) => <InviteEntry invite={node} isIncoming={isIncoming} />}
    </Pages>
  );
}
