import { useEffect } from 'react';
import { useQuery } from 'urql';
import { graphql } from '../../gql';
import { inSentence, Page, SkeletonRows, Trouble } from '../ui';
import { Appearance } from './Appearance';
import { DataExportSection } from './DataExportSection';
import { DeleteAccount } from './DeleteAccount';
import { EmailSection } from './EmailSection';
import { PasswordSection } from './PasswordSection';
import { PrivacySection } from './PrivacySection';
import { ProfileSection } from './ProfileSection';
import { Sessions } from './Sessions';
import { ThisWindow } from './ThisWindow';

const SETTINGS = graphql(`
  query Settings {
    viewer {
      ...Account
      sessions {
        ...Device
      }
      dataExport {
        ...Export
      }
    }
  }

  fragment Account on Viewer {
    id
    email
    emailVerified
    phone
    discoverable
    readReceipts
    user {
      id
      username
      displayName
    }
  }
`);

/** Everything about the account that the window shows. */
export function SettingsPage() {
  const [{ data, error }, refetch] = useQuery({ query: SETTINGS, requestPolicy: 'cache-and-network' });
  const again = () => refetch({ requestPolicy: 'network-only' });
  const viewer = data?.viewer;

  // The address may have been verified, or a device signed in, while the person was elsewhere: no event tells of that.
  useEffect(() => {
    const seen = () => {
      if (document.visibilityState === 'visible') refetch({ requestPolicy: 'network-only' });
    };
    addEventListener('focus', seen);
    document.addEventListener('visibilitychange', seen);
    return () => {
      removeEventListener('focus', seen);
      document.removeEventListener('visibilitychange', seen);
    };
  }, [refetch]);

  return (
    <Page title="Settings">
      {!viewer ? (
        error ? <Trouble message={inSentence(error)} onRetry={again} /> : <SkeletonRows label="Loading your settings" />
      ) : (
        <>
          {error && <Trouble message={inSentence(error)} onRetry={again} />}
          <ProfileSection account={viewer} />
          <EmailSection account={viewer} />
          <PrivacySection account={viewer} />
          <Appearance />
          <PasswordSection onChanged={again} />
          <Sessions devices={viewer.sessions} onChanged={again} />
          <DataExportSection dataExport={viewer.dataExport} onAsk={again} />
          <ThisWindow />
          <DeleteAccount username={viewer.user.username} />
        </>
      )}
    </Page>
  );
}
