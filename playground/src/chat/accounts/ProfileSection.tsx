import type { AccountFragment } from '../../gql/graphql';
import { Avatar, Button, Form, Section, TextField, toast, useSubmit } from '../ui';
import styles from './Settings.module.css';
import { useUpdateProfile } from './updateProfile';

/** What others see of the account, and its number. */
export function ProfileSection({ account }: { account: AccountFragment }) {
  const updateProfile = useUpdateProfile();
  const { submit, pending, errors } = useSubmit(async (input: Record<string, string>) => {
    const refused = await updateProfile(input);
    if (refused.length === 0) toast('Your profile is saved.');
    return refused;
  });
  const { id, username, displayName } = account.user;
  return (
    <Section title="Profile">
      <div className={styles.person}>
        <Avatar id={id} name={displayName} size="large" />
        <div className={styles.names}>
          <bdi className={styles.name}>{displayName}</bdi>
          <span className={styles.soft}>@{username}</span>
        </div>
      </div>
      <Form
        aria-label="Profile"
        errors={errors}
        onSubmit={(values) => void submit(values)}
        actions={
          <Button type="submit" kind="primary" isPending={pending}>
            Save profile
          </Button>
        }
      >
        {/* By their keys: what is in a field is anew what is saved, also when another device saved it. */}
        <TextField key={`name ${displayName}`} label="Name" name="displayName" autoComplete="name" defaultValue={displayName} />
        <TextField
          key={`username ${username}`}
          label="Username"
          name="username"
          autoComplete="username"
          autoCapitalize="none"
          defaultValue={username}
          hint="3 to 32 of a–z, 0–9, _ and a dot. Your old one becomes free at once."
        />
        <TextField
          key={`phone ${account.phone}`}
          label="Phone"
          name="phone"
          type="tel"
          autoComplete="tel"
          isRequired={false}
          defaultValue={account.phone ?? ''}
          hint="With + and the country’s code. Nobody else sees it."
        />
      </Form>
    </Section>
  );
}
