import { useState } from 'react';
import { useClient } from 'urql';
import { graphql } from '../../gql';
import type { ChangePasswordInput } from '../../gql/graphql';
import { Button, Form, PasswordField, refusals, Section, toast, useSubmit } from '../ui';

const CHANGE_PASSWORD = graphql(`
  mutation ChangePassword($input: ChangePasswordInput!) {
    changePassword(input: $input) {
      userErrors {
        code
        message
        field
      }
    }
  }
`);

export function PasswordSection({ onChanged }: { onChanged(): void }) {
  const client = useClient();
  // Counted up when it is done, which empties the fields.
  const [round, setRound] = useState(0);
  const { submit, pending, errors } = useSubmit(async (input: ChangePasswordInput) => {
    const { data, error } = await client.mutation(CHANGE_PASSWORD, { input });
    const refused = refusals(error, data?.changePassword);
    if (refused.length === 0) {
      toast('Your password is changed. Your other devices are signed out.');
      setRound(round + 1);
      onChanged();
    }
    return refused;
  });
  return (
    <Section title="Password" lead="A new one signs all your other devices out.">
      <Form
        key={round}
        aria-label="Change password"
        errors={errors}
        onSubmit={({ currentPassword = '', newPassword = '' }) => void submit({ currentPassword, newPassword })}
        actions={
          <Button type="submit" isPending={pending}>
            Change password
          </Button>
        }
      >
        <PasswordField label="Current password" name="currentPassword" autoComplete="current-password" isRequired />
        <PasswordField label="New password" name="newPassword" autoComplete="new-password" hint="At least 10 characters" isRequired />
      </Form>
    </Section>
  );
}
