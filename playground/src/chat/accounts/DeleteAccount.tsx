import { useState } from 'react';
import { useClient } from 'urql';
import { graphql } from '../../gql';
import { forget, useAccount } from '../../shared/accounts';
import { Button, Dialog, Form, PasswordField, refusals, Section, TextField, useSubmit } from '../ui';

const DELETE_ACCOUNT = graphql(`
  mutation DeleteAccount($input: DeleteAccountInput!) {
    deleteAccount(input: $input) {
      userErrors {
        code
        message
        field
      }
    }
  }
`);

/** The end of the account. */
export function DeleteAccount({ username }: { username: string }) {
  const client = useClient();
  const account = useAccount();
  const [asks, setAsks] = useState(false);
  const { submit, pending, errors, clear } = useSubmit(async (confirmation: string, password: string) => {
    if (confirmation.trim().toLowerCase() !== username.toLowerCase()) return [{ field: 'username', message: `Write ${username} to go on.` }];
    const { data, error } = await client.mutation(DELETE_ACCOUNT, { input: { password } });
    const refused = refusals(error, data?.deleteAccount);
    if (data && refused.length === 0 && account) forget(account.id);
    return refused;
  });

  function change(isOpen: boolean) {
    clear();
    setAsks(isOpen);
  }

  return (
    <Section
      title="Delete account"
      lead="At once and for good. Your friendships, invites and memberships end. What you wrote stays with those who read it, sent by “Deleted account”."
    >
      <div>
        <Button kind="danger" onPress={() => change(true)}>
          Delete my account
        </Button>
      </div>
      <Dialog title="Delete your account?" isOpen={asks} onOpenChange={change}>
        <p>It cannot be taken back, by nobody.</p>
        <Form
          aria-label="Delete account"
          errors={errors}
          onSubmit={({ username = '', password = '' }) => void submit(username, password)}
          actions={
            <>
              <Button type="submit" kind="danger" isPending={pending}>
                Delete for good
              </Button>
              <Button kind="quiet" onPress={() => change(false)}>
                Cancel
              </Button>
            </>
          }
        >
          <TextField label={`Your username, ${username}, to be sure`} name="username" autoComplete="off" autoCapitalize="none" isRequired />
          <PasswordField label="Password" name="password" autoComplete="current-password" isRequired />
        </Form>
      </Dialog>
    </Section>
  );
}
