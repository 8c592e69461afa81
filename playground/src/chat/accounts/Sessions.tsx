import { useEffect, useRef, useState } from 'react';
import { useClient } from 'urql';
import { graphql } from '../../gql';
import type { DeviceFragment } from '../../gql/graphql';
import { Badge, Button, Confirm, DeviceIcon, inWords, refusals, RelativeTime, Row, Section } from '../ui';
import { deviceName } from './deviceName';
import styles from './Settings.module.css';

graphql(`
  fragment Device on Session {
    id
    createdAt
    lastUsedAt
    userAgent
    current
  }
`);

const REVOKE_SESSION = graphql(`
  mutation RevokeSession($input: RevokeSessionInput!) {
    revokeSession(input: $input) {
      sessionId
      userErrors {
        code
        message
        field
      }
    }
  }
`);

const SHOWN = 5;

/** The dialog gives the focus back within this time. */
const FOCUS_MS = 100;

/** Where the account is signed in. */
export function Sessions({ devices, onChanged }: { devices: readonly DeviceFragment[]; onChanged(): void }) {
  const client = useClient();
  const [ending, setEnding] = useState<DeviceFragment | null>(null);
  const [endsAll, setEndsAll] = useState(false);
  const [showsAll, setShowsAll] = useState(false);
  const list = useRef<HTMLUListElement>(null);
  const hasEnded = useRef(false);
  const others = devices.filter(({ current }) => !current);
  const sorted = [...devices.filter(({ current }) => current), ...others];

  async function end(ended: readonly DeviceFragment[]) {
    for (const { id: sessionId } of ended) {
      const { data, error } = await client.mutation(REVOKE_SESSION, { input: { sessionId } });
      const refused = inWords(refusals(error, data?.revokeSession));
      if (refused) {
        onChanged();
        return refused;
      }
    }
    hasEnded.current = true;
    onChanged();
  }

  // The buttons that began it go away with the devices: then the focus stays at the list.
  useEffect(() => {
    if (!hasEnded.current) return;
    const timer = setTimeout(() => {
      if (document.activeElement !== document.body) return;
      hasEnded.current = false;
      list.current?.focus();
    }, FOCUS_MS);
    return () => clearTimeout(timer);
  }, [devices.length, ending, endsAll]);

  return (
    <Section
      title="Devices"
      lead="Where you are signed in. A window for each person is a device, too."
      action={
        others.length > 0 && (
          <Button kind="danger" onPress={() => setEndsAll(true)}>
            Sign out all other devices
          </Button>
        )
      }
    >
      <ul ref={list} tabIndex={-1} aria-label="Devices">
        {(showsAll ? sorted : sorted.slice(0, SHOWN)).map((device) => (
          <li key={device.id}>
            <Row
              leading={
                <span className={styles.device}>
                  <DeviceIcon />
                </span>
              }
              title={<span title={device.userAgent ?? undefined}>{deviceName(device.userAgent)}</span>}
              subtitle={
                <>
                  Last used <RelativeTime at={device.lastUsedAt} />, signed in <RelativeTime at={device.createdAt} />
                </>
              }
              trailing={
                device.current ? (
                  <Badge kind="accent">This one</Badge>
                ) : (
                  <Button kind="danger" onPress={() => setEnding(device)}>
                    Sign out
                  </Button>
                )
              }
            />
          </li>
        ))}
      </ul>
      {sorted.length > SHOWN && (
        <div>
          <Button aria-expanded={showsAll} onPress={() => setShowsAll(!showsAll)}>
            {showsAll ? `Show the newest ${SHOWN}` : `Show all ${sorted.length}`}
          </Button>
        </div>
      )}
      <Confirm
        title="Sign this device out?"
        action="Sign out"
        isOpen={ending !== null}
        onOpenChange={(isOpen) => !isOpen && setEnding(null)}
        onConfirm={() => end(ending ? [ending] : [])}
      >
        <p>{deviceName(ending?.userAgent ?? null)} asks for the password from then on.</p>
      </Confirm>
      <Confirm
        title="Sign all other devices out?"
        action="Sign them out"
        isOpen={endsAll}
        onOpenChange={setEndsAll}
        onConfirm={() => end(others)}
      >
        <p>{others.length === 1 ? 'One device asks' : `${others.length} devices ask`} for the password from then on. This one stays signed in.</p>
      </Confirm>
    </Section>
  );
}
