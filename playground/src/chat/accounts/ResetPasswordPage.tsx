import { useState } from 'react';
import { graphql } from '../../gql';
import { Button, Form, Notice, PasswordField, refusals, useSubmit } from '../ui';
import { tell } from './anonymous';
import { Frame } from './Frame';

const RESET_PASSWORD = graphql(`
  mutation ResetPassword($input: ResetPasswordInput!) {
    resetPassword(input: $input) {
      userErrors {
        code
        message
        field
      }
    }
  }
`);

/** Where the mail about a forgotten password leads to. */
export function ResetPasswordPage({ token, onDone }: { token: string; onDone(): void }) {
  const [isDone, setDone] = useState(false);
  const { submit, pending, errors } = useSubmit(async (newPassword: string) => {
    const { data, error } = await tell(RESET_PASSWORD, { input: { token, newPassword } });
    const refused = refusals(error, data?.resetPassword);
    setDone(refused.length === 0);
    return refused;
  });
  if (isDone)
    return (
      <Frame title="A new password">
        <Notice kind="good">It is changed, and every device of the account is signed out.</Notice>
        <Button kind="primary" onPress={() => onDone()}>
          Go to Kith
        </Button>
      </Frame>
    );
  return (
    <Frame title="A new password">
      <Form
        aria-label="Password reset"
        errors={errors}
        onSubmit={({ newPassword = '' }) => void submit(newPassword)}
        actions={
          <>
            <Button type="submit" kind="primary" isPending={pending}>
              Change the password
            </Button>
            <Button kind="quiet" onPress={() => onDone()}>
              Not now
            </Button>
          </>
        }
      >
        <PasswordField label="New password" name="newPassword" autoComplete="new-password" hint="At least 10 characters" autoFocus isRequired />
      </Form>
    </Frame>
  );
}
