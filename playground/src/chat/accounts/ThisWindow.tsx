import { useState } from 'react';
import { useClient } from 'urql';
import { graphql } from '../../gql';
import { forget, leave, useAccount } from '../../shared/accounts';
import { Button, Confirm, Section, SignOutIcon } from '../ui';
import styles from './Settings.module.css';

const LOGOUT = graphql(`
  mutation Logout {
    logout {
      userErrors {
        code
        message
        field
      }
    }
  }
`);

/** Ends the session of the account that the window shows, and forgets it: also when the server cannot be told. */
export function useSignOut() {
  const client = useClient();
  const account = useAccount();
  return async () => {
    await client.mutation(LOGOUT, {});
    if (account) forget(account.id);
  };
}

/** Whom the window shows, and how to show somebody else. */
export function ThisWindow() {
  const signOut = useSignOut();
  const [asks, setAsks] = useState(false);
  return (
    <Section title="This window" lead="Leave it to somebody else, and come back by one press. Or sign out, and this browser forgets you.">
      <div className={styles.line}>
        <Button onPress={leave}>Switch account</Button>
        <Button kind="danger" onPress={() => setAsks(true)}>
          <SignOutIcon size={18} /> Sign out
        </Button>
      </div>
      <Confirm title="Sign out?" action="Sign out" isOpen={asks} onOpenChange={setAsks} onConfirm={signOut}>
        <p>All windows of this browser that show you are signed out.</p>
      </Confirm>
    </Section>
  );
}
