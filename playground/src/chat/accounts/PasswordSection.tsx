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
  const { submit, pending, errors } = useSubmit(async (input: ChangePasswordInput, reset: () => void) => {
    const { data, error } = await client.mutation(CHANGE_PASSWORD, { input });
    const refused = refusals(error, data?.changePassword);
    if (refused.length === 0) {
      toast('Your password is changed. Your other devices are signed out.');
      reset();
      onChanged();
    }
    return refused;
  });
  return (
    <Section title="Password" lead="A new one signs all your other devices out.">
      <Form
        aria-label="Change password"
        errors={errors}
        onSubmit={({ currentPassword = '', newPassword = '' }, reset) => void submit({ currentPassword, newPassword }, reset)}
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
