import { conversationHash, navigate } from '../api';
import { Button, ChatIcon, EmptyState, IconButton, Pages, PeopleIcon, usePages } from '../ui';
import { FRIENDS } from './documents';
import { PersonRow } from './PersonRow';
import { Presence } from './Presence';

export function Friends({ onPerson }: { onPerson(userId: string): void }) {
  const friends = usePages(FRIENDS, {}, (data) => data.viewer?.friends);
  return (
    <Pages
      pages={friends}
      label="Friends"
      keyOf={({ node }) => node.id}
      empty={
        <EmptyState
          icon={<PeopleIcon />}
          title="No friends yet"
          action={
            <Button kind="primary" onPress={() => navigate('#/people/find')}>
              Find somebody
            </Button>
          }
        >
          Invite somebody by their username or by mail. When they say yes, you can write to each other.
        </EmptyState>
      }
    >
      {({ node: person }) => (
        <PersonRow
          person={person}
          subtitle={
            <>
              @{person.username}
              {person.presence && (
                <>
                  {' · '}
                  <Presence of={person} />
                </>
              )}
            </>
          }
          onPress={() => onPerson(person.id)}
          trailing={
            person.conversation && (
              <IconButton label={`Message ${person.displayName}`} onPress={() => navigate(conversationHash(person.conversation!.id))}>
                <ChatIcon />
              </IconButton>
            )
          }
        />
      )}
    </Pages>
  );
}
