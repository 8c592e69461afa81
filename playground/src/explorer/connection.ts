// How the newest subscription is doing, for everybody who wants to show it.
import { useSyncExternalStore } from 'react';

export interface Connection {
  state: 'none' | 'connecting' | 'live' | 'cut' | 'over';
  /** Events received since it began. */
  received: number;
  /** Whether a cut loses nothing: the document has `$after` and selects `cursor`. */
  resumes: boolean;
  /** Why it was cut, or ended. */
  reason?: string;
}

const NONE: Connection = { state: 'none', received: 0, resumes: false };

let connection = NONE;
const listeners = new Set<() => void>();

export function show(change: Partial<Connection>) {
  connection = { ...connection, ...change };
  for (const listener of listeners) listener();
}

export const showNone = () => show({ ...NONE, reason: undefined });

export const useConnection = () =>
  useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => connection,
  );
