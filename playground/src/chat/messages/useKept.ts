import { useCallback, useState } from 'react';
import { useMe } from '../api';

/** What somebody is about to say in a conversation: it is there again after another one was looked at, or a reload. */
export function useKept(conversationId: string, what: 'text' | 'reply') {
  const me = useMe();
  const key = `kith:draft:${me}:${conversationId}:${what}`;
  const [value, setValue] = useState(() => {
    try {
      return sessionStorage.getItem(key) ?? '';
    } catch {
      return '';
    }
  });
  const keep = useCallback(
    (value: string) => {
      setValue(value);
      try {
        if (value) sessionStorage.setItem(key, value);
        else sessionStorage.removeItem(key);
      } catch {
        // Then it is there as long as the page.
      }
    },
    [key],
  );
  return [value, keep] as const;
}
