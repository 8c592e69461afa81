import type { UserItemFragment } from '../../gql/graphql';
import { BlockIcon, Button, EmptyState, inWords, Notice, Pages, usePages, useSubmit } from '../ui';
import { usePeople } from './actions';
import { BLOCKED } from './documents';
import { PersonRow } from './PersonRow';

export function Blocked() {
  const blocked = usePages(BLOCKED, {}, (data) => data.viewer?.blockedUsers);
  return (
    <Pages
      pages={blocked}
      label="Blocked people"
      keyOf={({ node }) => node.id}
      empty={
        <EmptyState icon={<BlockIcon />} title="Nobody is blocked">
          Who is blocked cannot write to you or invite you. What they write in groups that you share is still shown. They are not told.
        </EmptyState>
      }
    >
      {({ node }) => <BlockedPerson person={node} />}
    </Pages>
  );
}

function BlockedPerson({ person }: { person: UserItemFragment }) {
  const { unblock } = usePeople();
  const { submit, pending, errors } = useSubmit(() => unblock(person));
  return (
    <>
      <PersonRow
        person={person}
        trailing={
          <Button isPending={pending} onPress={() => void submit()} aria-label={`Unblock ${person.displayName}`}>
            Unblock
          </Button>
        }
      />
      {errors.length > 0 && <Notice kind="danger">{inWords(errors)}</Notice>}
    </>
  );
}
