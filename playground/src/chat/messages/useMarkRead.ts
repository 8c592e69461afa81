import { useEffect, useSyncExternalStore } from 'react';
import { useMutation } from 'urql';
import { graphql } from '../../gql';

const MARK_READ = graphql(`
  mutation MarkRead($input: MarkReadInput!) {
    markRead(input: $input) {
      conversation {
        id
        unreadCount
      }
      userErrors {
        code
      }
    }
  }
`);

/** Long enough that a burst of messages is one move. */
const PAUSE_MS = 400;

/** Moves the read position to the newest message while somebody looks at it. */
export function useMarkRead(conversationId: string, newest: number, unreadCount: number, isLooking: boolean) {
  const [, markRead] = useMutation(MARK_READ);
  const isVisible = useVisible();
  useEffect(() => {
    if (!isLooking || !isVisible || unreadCount === 0 || newest === 0) return;
    const timer = setTimeout(() => void markRead({ input: { conversationId, sequence: newest } }), PAUSE_MS);
    return () => clearTimeout(timer);
  }, [conversationId, newest, unreadCount, isLooking, isVisible, markRead]);
}

const useVisible = () => useSyncExternalStore(subscribe, () => document.visibilityState === 'visible');

function subscribe(listener: () => void) {
  document.addEventListener('visibilitychange', listener);
  return () => document.removeEventListener('visibilitychange', listener);
}
