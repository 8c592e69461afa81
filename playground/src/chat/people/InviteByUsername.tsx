import { Button, Form, TextArea, TextField, useSubmit } from '../ui';
import { usePeople } from './actions';

/** Invites by exact username: to be friends, or into a group. */
export function InviteByUsername({ groupId }: { groupId?: string }) {
  const { invite } = usePeople();
  const { submit, pending, errors } = useSubmit(async (values: Record<string, string>, reset: () => void) => {
    const username = (values.username ?? '').trim().replace(/^@/, '');
    const note = values.note?.trim() || null;
    const refused = await invite(groupId ? { group: { groupId, username, note } } : { friend: { username, note } });
    if (refused.length === 0) reset();
    return refused;
  });
  return (
    <Form
      aria-label="Invite by username"
      errors={errors}
      onSubmit={(values, reset) => void submit(values, reset)}
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
