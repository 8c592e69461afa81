import { useEffect, useMemo } from 'react';
import { useMutation } from 'urql';
import { graphql } from '../../gql';

const SET_TYPING = graphql(`
  mutation SetTyping($input: SetTypingInput!) {
    setTyping(input: $input) {
      userErrors {
        code
      }
    }
  }
`);

/** The server tells it on once in three seconds, and takes it back after five. */
const SAY_AGAIN_MS = 3_000;

/** Tells the others that somebody types here, and that they stopped. It is a hint: a failure is nobody's concern. */
export function useTyping(conversationId: string) {
  const [, setTyping] = useMutation(SET_TYPING);
  const typing = useMemo(() => {
    let saidAt = 0;
    return {
      goesOn() {
        if (Date.now() - saidAt < SAY_AGAIN_MS) return;
        saidAt = Date.now();
        void setTyping({ input: { conversationId, typing: true } });
      },
      ends() {
        if (!saidAt) return;
        saidAt = 0;
        void setTyping({ input: { conversationId, typing: false } });
      },
    };
  }, [conversationId, setTyping]);
  useEffect(() => () => typing.ends(), [typing]);
  return typing;
}

const list = new Intl.ListFormat('en-GB');

export function inWords(typists: readonly { displayName: string }[]) {
  if (typists.length > 3) return 'Several people are typing…';
  const names = list.format(typists.map(({ displayName }) => displayName));
  return `${names} ${typists.length === 1 ? 'is' : 'are'} typing…`;
}
