import { useRef, useState } from 'react';
import type { RegisterInput } from '../../gql/graphql';
import { useEnded } from '../../shared/accounts';
import { Button, Form, Notice, PasswordField, Tabs, TextField, useSubmit } from '../ui';
import { ForgottenPassword } from './ForgottenPassword';
import { login, register } from './signIn';
import styles from './SignInForms.module.css';

type Tab = 'login' | 'register';

export interface SignInFormsProps {
  /** From the mail of an invite: the invite is then one to the new account. */
  inviteToken?: string;
  onRegistered?: () => void;
  /** Where to begin, unless somebody was signed out; to register, when nobody is remembered. */
  initial?: Tab;
}

/** Signing in and registering. When it is done the window shows the account, and whoever asks `useAccount` knows. */
export function SignInForms({ inviteToken, onRegistered, initial = 'register' }: SignInFormsProps) {
  const ended = useEnded();
  const [tab, setTab] = useState<Tab>(ended ? 'login' : initial);
  const [forgotten, setForgotten] = useState<string | null>(null);
  if (forgotten !== null) return <ForgottenPassword email={forgotten} onBack={() => setForgotten(null)} />;
  return (
    <>
      {ended && (
        <Notice kind="warm">
          <p>You were signed out.</p>
          <p>
            {ended.username
              ? 'The session was ended elsewhere, or it expired. What you had not sent is still here when you log in again.'
              : 'It was done in another window of this browser.'}
          </p>
        </Notice>
      )}
      <Tabs<Tab>
        label="Account"
        selected={tab}
        onSelect={setTab}
        tabs={[
          { id: 'register', label: 'Register', content: <Register inviteToken={inviteToken} onRegistered={onRegistered} /> },
          { id: 'login', label: 'Log in', content: <Login username={ended?.username} onForgotten={setForgotten} /> },
        ]}
      />
    </>
  );
}

function Login({ username = '', onForgotten }: { username?: string; onForgotten(email: string): void }) {
  const { submit, pending, errors } = useSubmit(login);
  const [identifier, setIdentifier] = useState(username);
  const password = useRef<HTMLInputElement>(null);
  return (
    <Form
      aria-label="Log in"
      errors={errors}
      onSubmit={async (values) => {
        const refused = await submit({ identifier: values.identifier ?? '', password: values.password ?? '' });
        // The server does not say which of the two is wrong.
        if (refused.some(({ field }) => !field)) password.current?.focus();
      }}
      actions={
        <Button type="submit" kind="primary" isPending={pending} className={styles.wide}>
          Log in
        </Button>
      }
    >
      <TextField
        label="Username or email"
        name="identifier"
        autoComplete="username"
        value={identifier}
        onChange={setIdentifier}
        autoCapitalize="none"
        isRequired
      />
      <PasswordField label="Password" name="password" autoComplete="current-password" inputRef={password} isRequired />
      <Button kind="quiet" className={styles.forgotten} onPress={() => onForgotten(identifier.includes('@') ? identifier : '')}>
        Forgotten your password?
      </Button>
    </Form>
  );
}

function Register({ inviteToken, onRegistered }: Pick<SignInFormsProps, 'inviteToken' | 'onRegistered'>) {
  const { submit, pending, errors } = useSubmit(async (input: RegisterInput) => {
    const refused = await register(input);
    if (refused.length === 0) onRegistered?.();
    return refused;
  });
  // The server refuses a token that is over; the account is to be had all the same.
  const [dropped, setDropped] = useState(false);
  const tokenRefused = errors.some(({ field }) => field?.includes('inviteToken'));
  const token = dropped ? undefined : inviteToken;
  return (
    <Form
      aria-label="Register"
      errors={errors}
      onSubmit={({ username = '', displayName = '', email = '', password = '' }) =>
        void submit({ username, email, password, displayName: displayName.trim() || null, inviteToken: token })
      }
      actions={
        <Button type="submit" kind="primary" isPending={pending} className={styles.wide}>
          Register
        </Button>
      }
    >
      <TextField label="Username" name="username" autoComplete="username" autoCapitalize="none" hint="3 to 32 of a–z, 0–9, _ and a dot" isRequired />
      <TextField label="Name" name="displayName" autoComplete="name" isRequired={false} hint="What others read; your username, if you leave it out" />
      <TextField label="Email" name="email" type="email" autoComplete="email" hint="Nobody else sees it" isRequired />
      <PasswordField label="Password" name="password" autoComplete="new-password" hint="At least 10 characters" isRequired />
      {tokenRefused && !dropped && (
        <Notice kind="warm">
          The invite cannot be used any more.{' '}
          <Button kind="quiet" onPress={() => setDropped(true)}>
            Register without it
          </Button>
        </Notice>
      )}
    </Form>
  );
}
