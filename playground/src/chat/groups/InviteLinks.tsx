import { useState } from 'react';
import { useQuery } from 'urql';
import type { LinkItemFragment } from '../../gql/graphql';
import { at } from '../../shared/server';
import { Button, Confirm, CopyIcon, Form, inSentence, inWords, LinkIcon, RelativeTime, Row, Section, Select, SkeletonRows, TextField, toast, Trouble, useSubmit } from '../ui';
import { useGroups } from './actions';
import { INVITE_LINKS } from './documents';
import styles from './Group.module.css';

/** The links by which people join by themselves. */
export function InviteLinks({ groupId }: { groupId: string }) {
  const { createLink } = useGroups();
  const [{ data, error }, refetch] = useQuery({ query: INVITE_LINKS, variables: { id: groupId }, requestPolicy: 'cache-and-network' });
  const again = () => refetch({ requestPolicy: 'network-only' });
  const links = data?.conversation?.__typename === 'Group' ? data.conversation.inviteLinks : undefined;

  const [lifetime, setLifetime] = useState<Lifetime>('7');
  const [uses, setUses] = useState<Uses>('');
  const [made, setMade] = useState<string | null>(null);
  const { submit, pending, errors } = useSubmit(async () => {
    const expiresAt = lifetime ? new Date(Date.now() + Number(lifetime) * 86_400_000).toISOString() : null;
    const refused = await createLink({ groupId, expiresAt, maxUses: uses ? Number(uses) : null }, setMade);
    if (refused.length === 0) again();
    return refused;
  });

  return (
    <Section title="Invite links" lead="Whoever has a link can join, until it ends." bare>
      {made && <Made code={made} onDone={() => setMade(null)} />}
      {!made && (
        <Form
          aria-label="Until when, and for whom"
          errors={errors}
          onSubmit={() => void submit()}
          actions={
            <Button type="submit" isPending={pending}>
              <LinkIcon size={18} /> Make a link
            </Button>
          }
        >
          <div className={styles.pair}>
            <Select<Lifetime> label="Ends" name="expiresAt" options={LIFETIMES} value={lifetime} onChange={setLifetime} />
            <Select<Uses> label="For" name="maxUses" options={USES} value={uses} onChange={setUses} />
          </div>
        </Form>
      )}
      {error && <Trouble message={inSentence(error)} onRetry={again} />}
      {!links && !error && <SkeletonRows count={1} label="Loading the links" />}
      {links && links.length > 0 && (
        <ul aria-label="Invite links">
          {links.map((link) => (
            <li key={link.id}>
              <Link link={link} onRevoked={again} />
            </li>
          ))}
        </ul>
      )}
    </Section>
  );
}

type Lifetime = '' | '1' | '7' | '30';
const LIFETIMES = [
  { value: '1', label: 'After a day' },
  { value: '7', label: 'After 7 days' },
  { value: '30', label: 'After 30 days' },
  { value: '', label: 'Never' },
] as const;

type Uses = '' | '1' | '10' | '100';
const USES = [
  { value: '1', label: 'One person' },
  { value: '10', label: '10 people' },
  { value: '100', label: '100 people' },
  { value: '', label: 'Any number' },
] as const;

/** A link that was made a moment ago. The server keeps no copy of its code, so this is the only time it is shown. */
function Made({ code, onDone }: { code: string; onDone(): void }) {
  const url = at(`join/${code}`).href;
  async function copy() {
    try {
      await navigator.clipboard.writeText(url);
      toast('The link is copied.');
    } catch {
      toast('The browser does not allow copying. Select the link and copy it by hand.', 'danger');
    }
  }
  return (
    <div className={styles.made}>
      <p>This is the only time the link is shown. Copy it now.</p>
      <div className={styles.copy}>
        <TextField label="New link" hideLabel value={url} isReadOnly onFocus={(event) => (event.target as HTMLInputElement).select()} />
        <Button kind="primary" onPress={() => void copy()}>
          <CopyIcon size={18} /> Copy
        </Button>
        <Button kind="quiet" onPress={onDone}>
          Done
        </Button>
      </div>
    </div>
  );
}

function Link({ link, onRevoked }: { link: LinkItemFragment; onRevoked(): void }) {
  const { revokeLink } = useGroups();
  const [asks, setAsks] = useState(false);
  const used = link.maxUses === null ? `${link.uses} joined` : `${link.uses} of ${link.maxUses} joined`;
  return (
    <>
      <Row
        leading={
          <span className={styles.link}>
            <LinkIcon />
          </span>
        }
        title={used}
        subtitle={
          <>
            Made <RelativeTime at={link.createdAt} />
            {link.createdBy && (
              <>
                {' '}
                by <bdi>{link.createdBy.displayName}</bdi>
              </>
            )}
            {', '}
            {link.expiresAt ? (
              <>
                ends <RelativeTime at={link.expiresAt} />
              </>
            ) : (
              'never ends'
            )}
          </>
        }
        trailing={
          <Button kind="danger" onPress={() => setAsks(true)}>
            End
          </Button>
        }
      />
      <Confirm
        title="End this link?"
        action="End the link"
        isOpen={asks}
        onOpenChange={setAsks}
        onConfirm={async () => {
          const refused = await revokeLink(link.id);
          if (refused.length === 0) onRevoked();
          return inWords(refused);
        }}
      >
        <p>Nobody can join by it any more. Who has joined stays.</p>
      </Confirm>
    </>
  );
}
