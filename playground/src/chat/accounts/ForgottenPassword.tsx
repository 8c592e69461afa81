import { useState } from 'react';
import { graphql } from '../../gql';
import { BackIcon, Button, Form, Notice, TextField, refusals, useSubmit } from '../ui';
import { tell } from './anonymous';

const REQUEST_PASSWORD_RESET = graphql(`
  mutation RequestPasswordReset($input: RequestPasswordResetInput!) {
    requestPasswordReset(input: $input) {
      userErrors {
        code
        message
        field
      }
    }
  }
`);

/** Asks for the mail with the way to a new password. */
export function ForgottenPassword({ email, onBack }: { email: string; onBack(): void }) {
  const [sentTo, setSentTo] = useState<string | null>(null);
  const { submit, pending, errors } = useSubmit(async (address: string) => {
    const { data, error } = await tell(REQUEST_PASSWORD_RESET, { input: { email: address } });
    const refused = refusals(error, data?.requestPasswordReset);
    if (refused.length === 0) setSentTo(address);
    return refused;
  });
  const back = (
    <Button kind="quiet" onPress={onBack}>
      <BackIcon size={18} /> Back to log in
    </Button>
  );
  return (
    <Form
      aria-label="Forgotten password"
      errors={errors}
      onSubmit={({ email = '' }) => void submit(email)}
      actions={
        <>
          {sentTo === null && (
            <Button type="submit" kind="primary" isPending={pending}>
              Send the mail
            </Button>
          )}
          {back}
        </>
      }
    >
      <h2>A new password</h2>
      {sentTo === null ? (
        <TextField
          label="Email"
          name="email"
          type="email"
          autoComplete="email"
          defaultValue={email}
          autoFocus
          hint="A mail with a link comes to this address, if it is the verified address of an account."
          isRequired
        />
      ) : (
        <Notice kind="good">
          <p>If an account has verified {sentTo}, a mail is on its way. Its link works once, for an hour.</p>
        </Notice>
      )}
    </Form>
  );
}
