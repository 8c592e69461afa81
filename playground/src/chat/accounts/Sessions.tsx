import { useState } from 'react';
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

/** Where the account is signed in. */
export function Sessions({ devices, onChanged }: { devices: readonly DeviceFragment[]; onChanged(): void }) {
  const client = useClient();
  const [ending, setEnding] = useState<DeviceFragment | null>(null);
  return (
    <Section title="Devices" lead="Where you are signed in. A window for each person is a device, too.">
      <ul aria-label="Devices">
        {devices.map((device) => (
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
      <Confirm
        title="Sign this device out?"
        action="Sign out"
        isOpen={ending !== null}
        onOpenChange={(isOpen) => !isOpen && setEnding(null)}
        onConfirm={async () => {
          const { data, error } = await client.mutation(REVOKE_SESSION, { input: { sessionId: ending?.id ?? '' } });
          onChanged();
          return inWords(refusals(error, data?.revokeSession));
        }}
      >
        <p>{deviceName(ending?.userAgent ?? null)} asks for the password from then on.</p>
      </Confirm>
    </Section>
  );
}
