import { useAccount, type Account } from '../../shared/accounts';
import { graphql } from '../../gql';
import type { WaitingFragment } from '../../gql/graphql';
import { conversationHash } from '../api';
import { asAccount, tell } from '../accounts/anonymous';
import { Frame } from '../accounts/Frame';
import { Remembered } from '../accounts/Remembered';
import { SignInForms } from '../accounts/SignInForms';
import { useAsked } from '../accounts/useAsked';
import { Avatar, Button, inWords, Loading, Notice, refusals, useSubmit, type Refusals } from '../ui';
import { ACCEPT_INVITE } from './documents';
import styles from './People.module.css';

const CLAIM_INVITE = graphql(`
  mutation ClaimInvite($input: ClaimInviteInput!) {
    claimInvite(input: $input) {
      invite {
        ...Waiting
      }
      userErrors {
        code
        message
        field
      }
    }
  }
`);

export interface ClaimInvitePageProps {
  token: string;
  /** Where to go on. */
  onDone(hash?: string): void;
}

/** Where the mail of an invite leads to. Who is signed in claims it; who is not registers with it, or signs in first. */
export function ClaimInvitePage({ token, onDone }: ClaimInvitePageProps) {
  const account = useAccount();
  if (account) return <Claim key={account.id} account={account} token={token} onDone={onDone} />;
  return (
    <Frame title="You are invited">
      <p>Somebody invites you to Kith, where only people who know each other can write to each other. Register, and the invite is yours to accept.</p>
      <Remembered />
      <SignInForms inviteToken={token} initial="register" onRegistered={() => onDone('#/people/invites')} />
    </Frame>
  );
}

function Claim({ account, token, onDone }: ClaimInvitePageProps & { account: Account }) {
  const { answer, again } = useAsked(`${account.id} ${token}`, () => claimOnce(account, token));
  const accepting = useSubmit(async (invite: WaitingFragment) => {
    const { data, error } = await asAccount(account, (token) => tell(ACCEPT_INVITE, { input: { inviteId: invite.id } }, token));
    const conversation = data?.acceptInvite.conversation;
    if (conversation) onDone(conversationHash(conversation.id));
    return refusals(error, data?.acceptInvite);
  });
  const decideLater = () => onDone('#/people/invites');
  if (!answer)
    return (
      <Frame title="You are invited">
        <Loading label="Fetching the invite" />
      </Frame>
    );
  const { invite, refused } = answer;
  if (!invite)
    return (
      <Frame title="This invite cannot be used">
        <Notice kind="danger">{inWords(refused)}</Notice>
        <p className={styles.soft}>If you registered with it a moment ago, it waits among your invites.</p>
        <div className={styles.actions}>
          <Button kind="primary" onPress={decideLater}>
            See your invites
          </Button>
          {refused.every(({ field }) => !field) && <Button onPress={again}>Try again</Button>}
        </div>
      </Frame>
    );
  const { inviter, group, note } = invite;
  return (
    <Frame title="You are invited">
      <div className={styles.meeting}>
        <Avatar id={inviter.id} name={inviter.displayName} />
        <p>
          <strong>
            <bdi>{inviter.displayName}</bdi>
          </strong>{' '}
          <span className={styles.soft}>@{inviter.username}</span> invites you, <bdi>{account.displayName}</bdi>, to be friends
          {group ? ` and to join ${group.name}` : ''}.
        </p>
      </div>
      {note && (
        <p dir="auto" className={styles.note}>
          {note}
        </p>
      )}
      {accepting.errors.length > 0 && <Notice kind="danger">{inWords(accepting.errors)}</Notice>}
      <div className={styles.actions}>
        <Button kind="primary" isPending={accepting.pending} onPress={() => void accepting.submit(invite)}>
          Accept
        </Button>
        <Button kind="quiet" onPress={decideLater}>
          Decide later
        </Button>
      </div>
    </Frame>
  );
}

interface Claimed {
  invite: WaitingFragment | null;
  refused: Refusals;
}

// A token works once, and React may run an effect twice.
const underWay = new Map<string, Promise<Claimed>>();

function claimOnce(account: Account, token: string): Promise<Claimed> {
  const key = `${account.id} ${token}`;
  const known = underWay.get(key);
  if (known) return known;
  const answer = claim(account, token);
  underWay.set(key, answer);
  // A server that was away may be asked again.
  void answer.then(({ invite }) => invite || underWay.delete(key));
  return answer;
}

async function claim(account: Account, token: string): Promise<Claimed> {
  const { data, error } = await asAccount(account, (accessToken) => tell(CLAIM_INVITE, { input: { token } }, accessToken));
  return { invite: data?.claimInvite.invite ?? null, refused: refusals(error, data?.claimInvite) };
}
