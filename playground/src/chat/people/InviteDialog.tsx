import type { UserItemFragment } from '../../gql/graphql';
import { Button, Dialog, Form, TextArea, useSubmit } from '../ui';
import { usePeople } from './actions';

export interface InviteDialogProps {
  person: UserItemFragment;
  isOpen: boolean;
  onOpenChange(isOpen: boolean): void;
}

/** Invites somebody to be friends, with some words. */
export function InviteDialog({ person, isOpen, onOpenChange }: InviteDialogProps) {
  const { invite } = usePeople();
  const { submit, pending, errors, clear } = useSubmit(async (note: string) => {
    const refused = await invite({ friend: { username: person.username, note: note.trim() || null } });
    if (refused.length === 0) onOpenChange(false);
    return refused;
  });

  function change(isOpen: boolean) {
    clear();
    onOpenChange(isOpen);
  }

  return (
    <Dialog title={`Invite ${person.displayName}`} isOpen={isOpen} onOpenChange={change}>
      <Form
        aria-label="Invite"
        errors={errors}
        onSubmit={({ note = '' }) => void submit(note)}
        actions={
          <>
            <Button type="submit" kind="primary" isPending={pending}>
              Send the invite
            </Button>
            <Button kind="quiet" onPress={() => change(false)}>
              Cancel
            </Button>
          </>
        }
      >
        <TextArea label="Note" name="note" isRequired={false} hint={`So that ${person.displayName} knows who you are`} />
      </Form>
    </Dialog>
  );
}
