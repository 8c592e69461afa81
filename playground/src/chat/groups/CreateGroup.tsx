import { conversationHash, navigate } from '../api';
import { Button, Dialog, Form, TextArea, TextField, useSubmit } from '../ui';
import { useGroups } from './actions';

export interface CreateGroupProps {
  isOpen: boolean;
  onOpenChange(isOpen: boolean): void;
}

/** Makes a group, and opens it. */
export function CreateGroup({ isOpen, onOpenChange }: CreateGroupProps) {
  const { create } = useGroups();
  const { submit, pending, errors, clear } = useSubmit(({ name = '', description = '' }: Record<string, string>) =>
    create({ name, description: description.trim() || null }, ({ id }) => {
      onOpenChange(false);
      navigate(conversationHash(id));
    }),
  );

  function change(isOpen: boolean) {
    clear();
    onOpenChange(isOpen);
  }

  return (
    <Dialog title="New group" isOpen={isOpen} onOpenChange={change}>
      <Form
        aria-label="New group"
        errors={errors}
        onSubmit={(values) => void submit(values)}
        actions={
          <>
            <Button type="submit" kind="primary" isPending={pending}>
              Make the group
            </Button>
            <Button kind="quiet" onPress={() => change(false)}>
              Cancel
            </Button>
          </>
        }
      >
        <TextField label="Name" name="name" autoComplete="off" autoFocus isRequired />
        <TextArea label="Description" name="description" isRequired={false} hint="What it is about. Who is invited reads it, too." />
      </Form>
    </Dialog>
  );
}
