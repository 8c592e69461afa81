import { graphql } from '../../gql';
import type { JoinPreviewQuery } from '../../gql/graphql';
import { leave, remembered, useAccount, type Account } from '../../shared/accounts';
import { asAccount, ask, tell } from '../accounts/anonymous';
import { conversationHash } from '../api';
import { Frame } from '../accounts/Frame';
import { Remembered } from '../accounts/Remembered';
import { SignInForms } from '../accounts/SignInForms';
import { useAsked } from '../accounts/useAsked';
import { Avatar, Button, inSentence, inWords, Loading, Notice, refusals, Trouble, useSubmit } from '../ui';
import styles from './Group.module.css';

const JOIN_PREVIEW = graphql(`
  query JoinPreview($code: String!) {
    inviteLink(code: $code) {
      id
      group {
        id
        name
        description
        memberCount
      }
    }
  }
`);

const IS_MEMBER = graphql(`
  query IsMember($id: ID!) {
    conversation(id: $id) {
      id
      viewerCanSend
    }
  }
`);

const JOIN_GROUP = graphql(`
  mutation JoinGroup($input: JoinGroupInput!) {
    joinGroup(input: $input) {
      group {
        id
      }
      userErrors {
        code
        message
        field
      }
    }
  }
`);

export interface JoinPageProps {
  code: string;
  /** Where to go on. */
  onDone(hash?: string): void;
}

/** Where an invite link leads to: what is behind it, and the way in. Only who is signed in may look; who is not signs in
 *  first, and is here again. */
export function JoinPage({ code, onDone }: JoinPageProps) {
  const account = useAccount();
  if (account) return <Behind key={account.id} account={account} code={code} onDone={onDone} />;
  return (
    <Frame title="You are invited to a group">
      <p>Register or log in, and see what is behind the link before you join.</p>
      <Remembered />
      <SignInForms initial={remembered().length > 0 ? 'login' : 'register'} />
    </Frame>
  );
}

function Behind({ account, code, onDone }: JoinPageProps & { account: Account }) {
  const { answer, again } = useAsked(`${account.id} ${code}`, () => asAccount(account, (token) => ask(JOIN_PREVIEW, { code }, token)));
  if (!answer)
    return (
      <Frame title="An invite link">
        <Loading label="Looking behind the link" />
      </Frame>
    );
  if (answer.error)
    return (
      <Frame title="An invite link">
        <Trouble message={inSentence(answer.error)} onRetry={again} />
      </Frame>
    );
  const group = answer.data?.inviteLink?.group;
  if (!group)
    return (
      <Frame title="This link is over">
        <p>It has expired, was used up, or was taken back. Ask who sent it for another.</p>
        <Button kind="primary" onPress={() => onDone()}>
          Go to Kith
        </Button>
      </Frame>
    );
  return (
    <Frame title={group.name}>
      <Preview group={group} />
      <Join account={account} code={code} groupId={group.id} onDone={onDone} />
    </Frame>
  );
}

const Preview = ({ group }: { group: NonNullable<JoinPreviewQuery['inviteLink']>['group'] }) => (
  <div className={styles.preview}>
    <Avatar id={group.id} name={group.name} size="large" isGroup />
    <p className={styles.soft}>A group of {group.memberCount === 1 ? 'one' : group.memberCount}</p>
    {group.description && (
      <p dir="auto" className={styles.description}>
        {group.description}
      </p>
    )}
  </div>
);

function Join({ account, code, groupId, onDone }: JoinPageProps & { account: Account; groupId: string }) {
  const open = () => onDone(conversationHash(groupId));
  const { answer: isMember } = useAsked(`${account.id} ${groupId}`, async () => {
    const { data } = await asAccount(account, (token) => ask(IS_MEMBER, { id: groupId }, token));
    return data?.conversation?.viewerCanSend ?? false;
  });
  const { submit, pending, errors } = useSubmit(async () => {
    const { data, error } = await asAccount(account, (token) => tell(JOIN_GROUP, { input: { code } }, token));
    // Also when they are a member already.
    if (data?.joinGroup.group) {
      open();
      return [];
    }
    return refusals(error, data?.joinGroup);
  });
  if (isMember)
    return (
      <>
        <Notice kind="good">You are in this group already, {account.displayName}.</Notice>
        <Button kind="primary" onPress={open}>
          Open the group
        </Button>
      </>
    );
  return (
    <>
      {errors.length > 0 && <Notice kind="danger">{inWords(errors)}</Notice>}
      <div className={styles.actions}>
        <Button kind="primary" isPending={pending || isMember === undefined} onPress={() => void submit()}>
          Join as {account.displayName}
        </Button>
        <Button onPress={leave}>Join as somebody else</Button>
        <Button kind="quiet" onPress={() => onDone()}>
          Not now
        </Button>
      </div>
    </>
  );
}
