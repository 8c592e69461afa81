import type { GroupItemFragment } from '../../gql/graphql';
import { Button, Form, TextArea, TextField, useSubmit } from '../ui';
import { useGroups } from './actions';

/** What a group is called, and what it is about. */
export function EditGroup({ group, onDone }: { group: GroupItemFragment; onDone(): void }) {
  const { update } = useGroups();
  const { submit, pending, errors } = useSubmit(async ({ name = '', description = '' }: Record<string, string>) => {
    const refused = await update({ groupId: group.id, name, description: description.trim() || null });
    if (refused.length === 0) onDone();
    return refused;
  });
  return (
    <Form
      aria-label="Edit group"
      errors={errors}
      onSubmit={(values) => void submit(values)}
      actions={
        <>
          <Button type="submit" kind="primary" isPending={pending}>
            Save
          </Button>
          <Button kind="quiet" onPress={onDone}>
            Cancel
          </Button>
        </>
      }
    >
      <TextField label="Name" name="name" autoComplete="off" defaultValue={group.name} autoFocus isRequired />
      <TextArea label="Description" name="description" isRequired={false} defaultValue={group.description ?? ''} />
    </Form>
  );
}
