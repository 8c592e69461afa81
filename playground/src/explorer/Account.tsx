import { useState, type FormEvent } from 'react';
import {
  Button,
  Dialog,
  DialogTrigger,
  FieldError,
  Form,
  Heading,
  Input,
  Label,
  Popover,
  Tab,
  TabList,
  TabPanel,
  Tabs,
  TextField,
} from 'react-aria-components';
import { leave, resume, useAccount, useRemembered, type Account as Known } from '../shared/accounts';
import { words } from './result';
import { login, logout, register, type Refusal } from './session';

/** As whom this window asks, and how to change that. */
export function Account() {
  const account = useAccount();
  return (
    <DialogTrigger>
      <Button className="kith-account" data-signed-in={account ? true : undefined}>
        <span className="kith-account-who">{account ? `@${account.username}` : 'Sign in'}</span>
      </Button>
      <Popover className="kith-popover" placement="bottom end">
        <Dialog className="kith-dialog">
          {({ close }) => <Content account={account} close={close} />}
        </Dialog>
      </Popover>
    </DialogTrigger>
  );
}

function Content({ account, close }: { account: Known | null; close: () => void }) {
  const others = useRemembered().filter(({ id }) => id !== account?.id);
  return (
    <>
      <Heading slot="title">{account ? `You ask as ${account.displayName}` : 'You ask as nobody'}</Heading>
      <p>
        The token goes by itself into the header of each request and into <code>connection_init</code> of each socket.
        An <code>authorization</code> of your own in the Headers pane wins.
      </p>
      {account && <SignedIn account={account} close={close} />}
      {others.length > 0 && (
        <section aria-label="Accounts of this browser">
          {others.map(({ id, username }) => (
            <Button
              key={id}
              onPress={() => {
                resume(id);
                close();
              }}
            >
              Ask as @{username}
            </Button>
          ))}
        </section>
      )}
      {account ? (
        <details>
          <summary>Sign in as somebody else</summary>
          <SignIn done={close} />
        </details>
      ) : (
        <SignIn done={close} />
      )}
    </>
  );
}

function SignedIn({ account, close }: { account: Known; close: () => void }) {
  const [problem, setProblem] = useState<string>();
  return (
    <section aria-label="This account">
      <Button onPress={() => void navigator.clipboard?.writeText(account.accessToken)}>Copy the access token</Button>
      <Button
        onPress={() => {
          leave();
          close();
        }}
      >
        Ask as nobody
      </Button>
      <Button onPress={() => void logout(account).then(close, (error: unknown) => setProblem(words(error)))}>
        Sign out
      </Button>
      {problem && <p role="alert">{problem}</p>}
    </section>
  );
}

function SignIn({ done }: { done: () => void }) {
  return (
    <Tabs>
      <TabList aria-label="How to sign in">
        <Tab id="login">Log in</Tab>
        <Tab id="register">Register</Tab>
      </TabList>
      <TabPanel id="login">
        <Fields
          done={done}
          action="Log in"
          submit={(text) => login({ identifier: text('identifier'), password: text('password') })}
        >
          <Field name="identifier" label="Username or email" autoComplete="username" />
          <Field name="password" label="Password" type="password" autoComplete="current-password" />
        </Fields>
      </TabPanel>
      <TabPanel id="register">
        <Fields
          done={done}
          action="Register"
          submit={(text) =>
            register({ username: text('username'), email: text('email'), password: text('password') })
          }
        >
          <Field name="username" label="Username" autoComplete="username" />
          <Field name="email" label="Email" type="email" autoComplete="email" />
          <Field name="password" label="Password, 10 characters or more" type="password" autoComplete="new-password" />
        </Fields>
      </TabPanel>
    </Tabs>
  );
}

interface FieldsProps {
  action: string;
  submit: (text: (name: string) => string) => Promise<Refusal[]>;
  done: () => void;
  children: React.ReactNode;
}

/** A form whose refusals stand at their fields, and below where no field is at fault. */
function Fields({ action, submit, done, children }: FieldsProps) {
  const [refusals, setRefusals] = useState<Refusal[]>([]);
  const [isBusy, setBusy] = useState(false);
  const fieldOf = ({ field }: Refusal) => field?.at(-1);

  async function send(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const data = new FormData(event.currentTarget);
    setBusy(true);
    try {
      const refused = await submit((name) => String(data.get(name) ?? ''));
      setRefusals(refused);
      if (refused.length === 0) done();
    } catch (error) {
      setRefusals([{ message: words(error), field: null }]);
    } finally {
      setBusy(false);
    }
  }

  return (
    <Form
      onSubmit={(event) => void send(event)}
      validationErrors={Object.fromEntries(
        refusals.flatMap((refusal) => (fieldOf(refusal) ? [[fieldOf(refusal), refusal.message]] : [])),
      )}
    >
      {children}
      {refusals
        .filter((refusal) => !fieldOf(refusal))
        .map(({ message }) => (
          <p key={message} role="alert">
            {message}
          </p>
        ))}
      <Button type="submit" isPending={isBusy} className="kith-primary">
        {action}
      </Button>
    </Form>
  );
}

interface FieldProps {
  name: string;
  label: string;
  type?: 'text' | 'email' | 'password';
  autoComplete: string;
}

function Field({ label, ...props }: FieldProps) {
  return (
    <TextField isRequired {...props}>
      <Label>{label}</Label>
      <Input autoCapitalize="none" />
      <FieldError />
    </TextField>
  );
}
