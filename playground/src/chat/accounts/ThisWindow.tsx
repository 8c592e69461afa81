import { useState } from 'react';
import { leave, useAccount } from '../../shared/accounts';
import { Button, Confirm, Section, SignOutIcon } from '../ui';
import styles from './Settings.module.css';
import { signOut } from './signOut';

/** Whom the window shows, and how to show somebody else. */
export function ThisWindow() {
  const account = useAccount();
  const [asks, setAsks] = useState(false);
  return (
    <Section title="This window" lead="Leave it to somebody else, and come back by one press. Or sign out, and this browser forgets you.">
      <div className={styles.line}>
        <Button onPress={leave}>Switch account</Button>
        <Button kind="danger" onPress={() => setAsks(true)}>
          <SignOutIcon size={18} /> Sign out
        </Button>
      </div>
      <Confirm title="Sign out?" action="Sign out" isOpen={asks} onOpenChange={setAsks} onConfirm={async () => account && void signOut(account)}>
        <p>All windows of this browser that show you are signed out.</p>
      </Confirm>
    </Section>
  );
}
