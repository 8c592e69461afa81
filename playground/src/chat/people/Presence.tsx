import type { UserItemFragment } from '../../gql/graphql';
import { RelativeTime } from '../ui';

/** Whether somebody is there, in words; nothing where the viewer may not know. */
export function Presence({ of }: { of: Pick<UserItemFragment, 'presence'> }) {
  if (!of.presence) return null;
  const { status, lastSeenAt } = of.presence;
  if (status === 'ONLINE') return <>Online</>;
  return lastSeenAt ? (
    <>
      Last seen <RelativeTime at={lastSeenAt} />
    </>
  ) : (
    <>Offline</>
  );
}
