import { useEffect, useState } from 'react';
import { graphql } from '../../gql';
import { current, freshToken } from '../../shared/accounts';
import { Button, Loading, Notice, refusals, type Refusals } from '../ui';
import { tell } from './anonymous';
import { Frame } from './Frame';

const VERIFY_EMAIL = graphql(`
  mutation VerifyEmail($input: VerifyEmailInput!) {
    verifyEmail(input: $input) {
      viewer {
        id
        emailVerified
      }
      userErrors {
        code
        message
        field
      }
    }
  }
`);

/** Where the mail about an address leads to. */
export function VerifyEmailPage({ token, onDone }: { token: string; onDone(): void }) {
  const [refused, setRefused] = useState<Refusals>();
  useEffect(() => {
    let isShown = true;
    void verifyOnce(token).then((answer) => isShown && setRefused(answer));
    return () => {
      isShown = false;
    };
  }, [token]);
  return (
    <Frame title="Your email address">
      {!refused ? (
        <Loading label="Verifying" />
      ) : refused.length === 0 ? (
        <Notice kind="good">It is yours: the address is verified.</Notice>
      ) : (
        <>
          <Notice kind="danger">
            {refused.map(({ message }) => (
              <p key={message}>{message}</p>
            ))}
          </Notice>
          <p>Another mail is to be had in the settings, under “Email”.</p>
        </>
      )}
      <Button kind="primary" onPress={() => onDone()}>
        Go to Kith
      </Button>
    </Frame>
  );
}

// A token works once, and React may run an effect twice.
const underWay = new Map<string, Promise<Refusals>>();

function verifyOnce(token: string) {
  let answer = underWay.get(token);
  if (!answer) underWay.set(token, (answer = verify(token)));
  return answer;
}

async function verify(token: string): Promise<Refusals> {
  const account = current();
  const accessToken = account ? await freshToken(account.id).catch(() => undefined) : undefined;
  const { data, error } = await tell(VERIFY_EMAIL, { input: { token } }, accessToken);
  return refusals(error, data?.verifyEmail);
}
