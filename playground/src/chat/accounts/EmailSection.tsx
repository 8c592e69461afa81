import { useState } from 'react';
import { useClient } from 'urql';
import { graphql } from '../../gql';
import type { AccountFragment } from '../../gql/graphql';
import { Badge, Button, inWords, Notice, refusals, Section, useSubmit } from '../ui';
import styles from './Settings.module.css';

const REQUEST_EMAIL_VERIFICATION = graphql(`
  mutation RequestEmailVerification {
    requestEmailVerification {
      userErrors {
        code
        message
        field
      }
    }
  }
`);

/** The address, and whether it is known to be theirs. */
export function EmailSection({ account }: { account: AccountFragment }) {
  const client = useClient();
  const [isSent, setSent] = useState(false);
  const { submit, pending, errors } = useSubmit(async () => {
    const { data, error } = await client.mutation(REQUEST_EMAIL_VERIFICATION, {});
    const refused = refusals(error, data?.requestEmailVerification);
    setSent(refused.length === 0);
    return refused;
  });
  return (
    <Section title="Email" lead="Nobody else sees it. A new password is only ever mailed to an address that is verified.">
      <div className={styles.line}>
        <span>{account.email}</span>
        {account.emailVerified ? <Badge kind="accent">Verified</Badge> : <Badge kind="warm">Not verified</Badge>}
      </div>
      {!account.emailVerified && (
        <>
          {isSent ? (
            <Notice kind="good">A mail with a link is on its way. The link works for 48 hours.</Notice>
          ) : (
            <div>
              <Button onPress={() => void submit()} isPending={pending}>
                Send the verification mail again
              </Button>
            </div>
          )}
          {errors.length > 0 && <Notice kind="danger">{inWords(errors)}</Notice>}
        </>
      )}
    </Section>
  );
}
