import { useState } from 'react';
import { Button, Form, TextArea, TextField, useSubmit } from '../ui';
import { usePeople } from './actions';

/** Invites by exact username: to be friends, or into a group. */
export function InviteByUsername({ groupId }: { groupId?: string }) {
  const { invite } = usePeople();
  // Counted up when it is done, which empties the fields.
  const [round, setRound] = useState(0);
  const { submit, pending, errors } = useSubmit(async (values: Record<string, string>) => {
    const username = (values.username ?? '').trim().replace(/^@/, '');
    const note = values.note?.trim() || null;
    const refused = await invite(groupId ? { group: { groupId, username, note } } : { friend: { username, note } });
    if (refused.length === 0) setRound(round + 1);
    return refused;
  });
  return (
    <Form
      key={round}
      aria-label="Invite by username"
      errors={errors}
      onSubmit={(values) => void submit(values)}
      actions={
        <Button type="submit" kind="primary" isPending={pending}>
          Send the invite
        </Button>
      }
    >
      <TextField label="Username" name="username" autoComplete="off" autoCapitalize="none" isRequired />
      <TextArea label="Note" name="note" rows={2} isRequired={false} />
    </Form>
  );
}
