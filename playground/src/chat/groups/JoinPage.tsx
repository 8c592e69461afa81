import { graphql } from '../../gql';
import type { JoinPreviewQuery } from '../../gql/graphql';
import { freshToken, leave, useAccount, type Account } from '../../shared/accounts';
import { ask, tell } from '../accounts/anonymous';
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
  onDone(conversationId?: string): void;
}

/** Where an invite link leads to: what is behind it, and the way in. Who is signed out signs in first, and is here again. */
export function JoinPage({ code, onDone }: JoinPageProps) {
  const account = useAccount();
  const { answer, again } = useAsked(code, () => ask(JOIN_PREVIEW, { code }));
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
      {account ? (
        <Join key={account.id} account={account} code={code} groupId={group.id} onDone={onDone} />
      ) : (
        <>
          <p>Register or log in to join.</p>
          <Remembered />
          <SignInForms />
        </>
      )}
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
  const open = () => onDone(groupId);
  const { answer: isMember } = useAsked(`${account.id} ${groupId}`, async () => {
    try {
      const { data } = await ask(IS_MEMBER, { id: groupId }, await freshToken(account.id));
      return data?.conversation?.viewerCanSend ?? false;
    } catch {
      return false;
    }
  });
  const { submit, pending, errors } = useSubmit(async () => {
    const { data, error } = await tell(JOIN_GROUP, { input: { code } }, await freshToken(account.id));
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
