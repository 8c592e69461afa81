// What can be done with a message. The cache shows it at once, and takes it back where the server refuses.
import type { CombinedError } from 'urql';
import { useMutation } from 'urql';
import { graphql } from '../../gql';
import { refusals, toast } from '../ui';

const EDIT = graphql(`
  mutation EditMessage($input: EditMessageInput!) {
    editMessage(input: $input) {
      messageEdge {
        node {
          id
          body
          editedAt
        }
      }
      userErrors {
        code
        message
        field
      }
    }
  }
`);

const DELETE = graphql(`
  mutation DeleteMessage($input: DeleteMessageInput!) {
    deleteMessage(input: $input) {
      messageEdge {
        node {
          id
          body
          deletedAt
          reactions {
            emoji
            count
            viewerHasReacted
          }
        }
      }
      userErrors {
        code
        message
        field
      }
    }
  }
`);

graphql(`
  fragment Reacted on MessagePayload {
    messageEdge {
      node {
        id
        reactions {
          emoji
          count
          viewerHasReacted
        }
      }
    }
    userErrors {
      code
      message
      field
    }
  }
`);

const ADD_REACTION = graphql(`
  mutation AddReaction($input: ReactionInput!) {
    addReaction(input: $input) {
      ...Reacted
    }
  }
`);

const REMOVE_REACTION = graphql(`
  mutation RemoveReaction($input: ReactionInput!) {
    removeReaction(input: $input) {
      ...Reacted
    }
  }
`);

export function useMessageActions() {
  const [, edit] = useMutation(EDIT);
  const [, remove] = useMutation(DELETE);
  const [, add] = useMutation(ADD_REACTION);
  const [, takeBack] = useMutation(REMOVE_REACTION);
  return {
    edit: async (messageId: string, body: string) => {
      const { data, error } = await edit({ input: { messageId, body } });
      return refusals(error, data?.editMessage);
    },
    remove: async (messageId: string) => {
      const { data, error } = await remove({ input: { messageId } });
      return refusals(error, data?.deleteMessage);
    },
    react: async (messageId: string, emoji: string, isOn: boolean) => {
      const input = { input: { messageId, emoji } };
      if (isOn) {
        const { data, error } = await add(input);
        say(error, data?.addReaction);
      } else {
        const { data, error } = await takeBack(input);
        say(error, data?.removeReaction);
      }
    },
  };
}

function say(error: CombinedError | undefined, payload: Parameters<typeof refusals>[1]) {
  const [refusal] = refusals(error, payload);
  if (refusal) toast(refusal.message, 'danger');
}
