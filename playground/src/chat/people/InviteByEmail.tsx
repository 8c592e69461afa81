import { useState } from 'react';
import { useQuery } from 'urql';
import { graphql } from '../../gql';
import { Button, Form, Select, TextArea, TextField, useSubmit } from '../ui';
import { usePeople } from './actions';

// The groups into which the viewer may invite are among their newest conversations. It is one list with that of the
// conversations, of which the cache joins the pages: so each asks for all that the other shows.
const GROUPS_TO_INVITE_TO = graphql(`
  query GroupsToInviteTo {
    viewer {
      id
      conversations(first: 100) {
        nodes {
          ...ConversationItem
        }
        pageInfo {
          hasNextPage
          endCursor
        }
      }
    }
  }
`);

/** Invites whoever reads a mailbox: to be friends, and into a group if one is named. */
export function InviteByEmail({ groupId }: { groupId?: string }) {
  const { invite } = usePeople();
  const [chosen, setChosen] = useState('');
  const { submit, pending, errors } = useSubmit(async (values: Record<string, string>, reset: () => void) => {
    const refused = await invite({ email: { email: values.email ?? '', groupId: groupId ?? (chosen || null), note: values.note?.trim() || null } });
    if (refused.length === 0) {
      setChosen('');
      reset();
    }
    return refused;
  });
  return (
    <Form
      aria-label="Invite by mail"
      errors={errors}
      onSubmit={(values, reset) => void submit(values, reset)}
      actions={
        <Button type="submit" kind="primary" isPending={pending}>
          Send the mail
        </Button>
      }
    >
      <TextField label="Email" name="email" type="email" autoComplete="off" isRequired />
      {!groupId && <GroupChoice value={chosen} onChange={setChosen} />}
      <TextArea label="Note" name="note" rows={2} isRequired={false} hint="It is in the mail, too" />
    </Form>
  );
}

function GroupChoice({ value, onChange }: { value: string; onChange(groupId: string): void }) {
  const [{ data }] = useQuery({ query: GROUPS_TO_INVITE_TO, requestPolicy: 'cache-and-network' });
  const groups = (data?.viewer?.conversations.nodes ?? []).flatMap((conversation) =>
    conversation.__typename === 'Group' && conversation.viewerRole !== 'MEMBER' ? [{ value: conversation.id, label: conversation.name }] : [],
  );
  if (groups.length === 0) return null;
  return <Select label="Into a group, too" name="groupId" options={[{ value: '', label: 'No group' }, ...groups]} value={value} onChange={onChange} />;
}
