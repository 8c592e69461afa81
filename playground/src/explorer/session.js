// Who is signed in in this window. sessionStorage and not localStorage: two windows are two people, and the token is
// gone when the window is.
import { useSyncExternalStore } from 'react';

const KEY = 'kith:session';
const listeners = new Set();

function stored() {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null; // Storage may be forbidden; then the Headers pane is the way.
  }
}

let raw = stored();
let current = raw && JSON.parse(raw);

export function setSession(session) {
  current = session;
  try {
    if (session) sessionStorage.setItem(KEY, JSON.stringify(session));
    else sessionStorage.removeItem(KEY);
  } catch {
    // As above: it then lasts until the page is left.
  }
  for (const listener of listeners) listener();
}

export const session = () => current;

export function useSession() {
  return useSyncExternalStore((listener) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, session);
}

// Any field of any answer that carries an access token signs this window in; `logout` without refusal signs it out.
export function learnFrom(result) {
  for (const [field, payload] of Object.entries(result?.data ?? {})) {
    if (typeof payload?.accessToken === 'string') {
      setSession({ token: payload.accessToken, name: payload.viewer?.user?.username ?? null });
    } else if (field === 'logout' && payload?.userErrors?.length === 0) {
      setSession(null);
    }
  }
}
