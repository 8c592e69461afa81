import { useState } from 'react';
import type { PersonFragment } from '../../gql/graphql';
import { conversationHash, navigate } from '../api';
import { Badge, Button } from '../ui';
import { InviteDialog } from './InviteDialog';

/** How the viewer stands to somebody, and the next step. */
export function Relation({ person }: { person: PersonFragment }) {
  const [invites, setInvites] = useState(false);
  switch (person.relationship) {
    case 'SELF':
      return <Badge>You</Badge>;
    case 'BLOCKED':
      return <Badge kind="danger">Blocked</Badge>;
    case 'INVITE_SENT':
      return <Badge>Invited</Badge>;
    case 'INVITE_RECEIVED':
      return (
        <Button aria-label={`Answer ${person.displayName}`} onPress={() => navigate('#/people/invites')}>
          Answer
        </Button>
      );
    case 'FRIEND':
      return person.conversation ? (
        <Button aria-label={`Message ${person.displayName}`} onPress={() => navigate(conversationHash(person.conversation!.id))}>
          Message
        </Button>
      ) : null;
    case 'NONE':
      return (
        <>
          <Button kind="primary" aria-label={`Invite ${person.displayName}`} onPress={() => setInvites(true)}>
            Invite
          </Button>
          <InviteDialog person={person} isOpen={invites} onOpenChange={setInvites} />
        </>
      );
  }
}
