import type { AccountFragment, UpdateProfileInput } from '../../gql/graphql';
import { inWords, Notice, Section, Switch, useSubmit } from '../ui';
import { useUpdateProfile } from './updateProfile';

/** Who may find the account, and who sees what it has read. */
export function PrivacySection({ account }: { account: AccountFragment }) {
  const updateProfile = useUpdateProfile();
  const { submit, pending, errors } = useSubmit((input: UpdateProfileInput) => updateProfile(input));
  return (
    <Section title="Privacy">
      <Switch
        label="Let people find me"
        hint="Your username comes up when somebody searches for how it begins. Off, only who knows all of it can invite you."
        isSelected={account.discoverable}
        isDisabled={pending}
        onChange={(discoverable) => void submit({ discoverable })}
      />
      <Switch
        label="Read receipts"
        hint="Others see how far you have read, and you see how far they have. One is not to be had without the other."
        isSelected={account.readReceipts}
        isDisabled={pending}
        onChange={(readReceipts) => void submit({ readReceipts })}
      />
      {errors.length > 0 && <Notice kind="danger">{inWords(errors)}</Notice>}
    </Section>
  );
}
