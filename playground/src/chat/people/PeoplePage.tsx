import { useState } from 'react';
import { navigate, useRoute } from '../api';
import { CountBadge, Page, Tabs } from '../ui';
import { Blocked } from './Blocked';
import { Find } from './Find';
import { Friends } from './Friends';
import { Invites } from './Invites';
import { PersonPanel } from './PersonPanel';
import { useWaitingInvites } from './useWaitingInvites';

const TABS = ['friends', 'invites', 'find', 'blocked'] as const;
type Tab = (typeof TABS)[number];

/** Everybody the viewer knows, may know, or wants to know nothing of: `#/people/invites` opens the invites. */
export function PeoplePage() {
  const { id: tab } = useRoute();
  const [person, setPerson] = useState<string | null>(null);
  const nWaiting = useWaitingInvites();
  const selected = TABS.find((each) => each === tab) ?? 'friends';
  return (
    <Page title="People">
      <Tabs<Tab>
        label="People"
        selected={selected}
        onSelect={(id) => navigate(`#/people/${id}`)}
        tabs={[
          { id: 'friends', label: 'Friends', content: <Friends onPerson={setPerson} /> },
          {
            id: 'invites',
            label: (
              <>
                Invites <CountBadge count={nWaiting} label="waiting for you" />
              </>
            ),
            content: <Invites />,
          },
          { id: 'find', label: 'Find', content: <Find onPerson={setPerson} /> },
          { id: 'blocked', label: 'Blocked', content: <Blocked /> },
        ]}
      />
      <PersonPanel id={person ?? ''} isOpen={person !== null} onOpenChange={(isOpen) => !isOpen && setPerson(null)} />
    </Page>
  );
}
