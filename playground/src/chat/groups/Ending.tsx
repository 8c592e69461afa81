import { useState } from 'react';
import type { GroupItemFragment } from '../../gql/graphql';
import { navigate } from '../api';
import { Button, Confirm, inWords } from '../ui';
import { useGroups } from './actions';
import styles from './Group.module.css';

/** Leaving a group, and deleting it. */
export function Ending({ group, onEnded }: { group: GroupItemFragment; onEnded?: () => void }) {
  const { leave, remove } = useGroups();
  const [asks, setAsks] = useState<'leave' | 'delete' | null>(null);
  const close = (isOpen: boolean) => !isOpen && setAsks(null);
  const isOwner = group.viewerRole === 'OWNER';

  function ended() {
    onEnded?.();
    navigate('#/');
  }

  return (
    <div className={styles.actions}>
      {isOwner ? (
        <>
          <p className={styles.soft}>You own this group. To leave it, hand it over to another member first.</p>
          <Button kind="danger" onPress={() => setAsks('delete')}>
            Delete the group
          </Button>
        </>
      ) : (
        <Button kind="danger" onPress={() => setAsks('leave')}>
          Leave the group
        </Button>
      )}
      <Confirm
        title={`Leave ${group.name}?`}
        action="Leave"
        isOpen={asks === 'leave'}
        onOpenChange={close}
        onConfirm={async () => {
          const refused = await leave(group.id);
          if (refused.length === 0) ended();
          return inWords(refused);
        }}
      >
        <p>You can no longer read it. To come back, you need an invite or a link.</p>
      </Confirm>
      <Confirm
        title={`Delete ${group.name}?`}
        action="Delete for everybody"
        isOpen={asks === 'delete'}
        onOpenChange={close}
        onConfirm={async () => {
          const refused = await remove(group.id);
          if (refused.length === 0) ended();
          return inWords(refused);
        }}
      >
        <p>The group and all that was said in it are gone, for everybody and for good.</p>
      </Confirm>
    </div>
  );
}
