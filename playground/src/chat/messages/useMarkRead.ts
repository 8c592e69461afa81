import { useEffect, useState, useSyncExternalStore } from 'react';
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
/** Between two tries of what fails. */
const LONGEST_PAUSE_MS = 60_000;

/** Moves the read position to the newest message while somebody looks at it. */
export function useMarkRead(conversationId: string, newest: number, unreadCount: number, isLooking: boolean) {
  const [, markRead] = useMutation(MARK_READ);
  const isVisible = useVisible();
  const [nFailures, setFailures] = useState(0);
  useEffect(() => {
    if (!isLooking || !isVisible || unreadCount === 0 || newest === 0) return;
    const timer = setTimeout(async () => {
      const { error } = await markRead({ input: { conversationId, sequence: newest } });
      setFailures(error ? nFailures + 1 : 0);
    }, Math.min(PAUSE_MS * 2 ** nFailures, LONGEST_PAUSE_MS));
    return () => clearTimeout(timer);
  }, [conversationId, newest, unreadCount, isLooking, isVisible, markRead, nFailures]);
}

const useVisible = () => useSyncExternalStore(subscribe, () => document.visibilityState === 'visible');

function subscribe(listener: () => void) {
  document.addEventListener('visibilitychange', listener);
  return () => document.removeEventListener('visibilitychange', listener);
}
