// Who is signed in. The accounts of this browser are in localStorage, which one a window shows is in its sessionStorage:
// two windows can be two people, a reload stays signed in, and a new window can go on as somebody who is remembered.
import { stringifyDocument } from '@urql/core';
import { useSyncExternalStore } from 'react';
import { graphql } from '../gql';
import type { RefreshMutation, RefreshMutationVariables } from '../gql/graphql';
import { httpUrl } from './server';

export interface Account {
  /** The id of the user, `user_…`. */
  id: string;
  username: string;
  displayName: string;
  accessToken: string;
  refreshToken: string;
  /** When the access token dies, RFC 3339, by the server's clock. */
  accessTokenExpiresAt: string;
  /** The server has ended the session: who it was is kept, for when they log in again. */
  hasEnded?: true;
}

/** The session is over: logged out, revoked, or its refresh token was used by somebody else. */
export class SignedOut extends Error {}

const ACCOUNTS = 'kith:accounts';
const CURRENT = 'kith:account';
const listeners = new Set<() => void>();

// Storage may be forbidden; then an account lives as long as the page.
const memory = new Map<string, string>();
function read(storage: () => Storage, key: string) {
  try {
    return storage().getItem(key);
  } catch {
    return memory.get(key) ?? null;
  }
}
function write(storage: () => Storage, key: string, value: string | null) {
  try {
    if (value === null) storage().removeItem(key);
    else storage().setItem(key, value);
  } catch {
    if (value === null) memory.delete(key);
    else memory.set(key, value);
  }
}

function parse(raw: string | null): Account[] {
  try {
    return raw ? (JSON.parse(raw) as Account[]) : [];
  } catch {
    // Somebody else's word under our key.
    return [];
  }
}

let cached: { raw: string | null; all: Account[]; alive: Account[] } = { raw: null, all: [], alive: [] };

function stored() {
  const raw = read(() => localStorage, ACCOUNTS);
  if (raw !== cached.raw) {
    const all = parse(raw);
    cached = { raw, all, alive: all.filter(({ hasEnded }) => !hasEnded) };
  }
  return cached;
}

/** Everybody who signed in with this browser and was not signed out, the last one first. */
export const remembered = () => stored().alive;

/** Who this window shows. */
export function current(): Account | null {
  const id = read(() => sessionStorage, CURRENT);
  return remembered().find((account) => account.id === id) ?? null;
}

const FORGOTTEN = { id: '', username: '' };

/** Whom this window showed until something else than itself signed them out. Without a name where another window did it,
 *  and this browser has forgotten them; else the server has ended the session. */
function ended(): Pick<Account, 'id' | 'username'> | null {
  const id = read(() => sessionStorage, CURRENT);
  if (!id || current()) return null;
  return stored().all.find((account) => account.id === id) ?? FORGOTTEN;
}

/** Signs this window in, and remembers. */
export function signIn(account: Account) {
  store(account);
  resume(account.id);
}

/** Shows somebody who is remembered. */
export function resume(id: string) {
  write(() => sessionStorage, CURRENT, id);
  tell();
}

/** Shows nobody; the account stays remembered. */
export function leave() {
  write(() => sessionStorage, CURRENT, null);
  tell();
}

/** Forgets an account and what is kept of it, in all windows. The server is not told: see `signOut` and `logout`. */
export function forget(id: string) {
  if (read(() => sessionStorage, CURRENT) === id) write(() => sessionStorage, CURRENT, null);
  save(stored().all.filter((account) => account.id !== id));
  erase(id);
}

/** Signs an account out whose session the server has ended. What was not sent stays for when they log in again. */
export function end(id: string) {
  save(stored().all.map((account) => (account.id === id ? { ...account, accessToken: '', refreshToken: '', hasEnded: true } : account)));
}

/** Keeps what is known of an account up to date. */
export function store(account: Account) {
  save([account, ...stored().all.filter(({ id }) => id !== account.id)]);
}

function save(accounts: Account[]) {
  write(() => localStorage, ACCOUNTS, accounts.length ? JSON.stringify(accounts) : null);
  tell();
}

/** Removes what the chat keeps of an account: messages that have not arrived, and those that are being written. */
function erase(id: string) {
  const isKept = (key: string) => key.startsWith(`kith:outbox:${id}`) || key.startsWith(`kith:draft:${id}:`);
  try {
    for (const storage of [localStorage, sessionStorage]) {
      for (const key of Object.keys(storage).filter(isKept)) storage.removeItem(key);
    }
  } catch {
    // Storage is forbidden, and nothing is in it.
  }
}

function tell() {
  for (const listener of listeners) listener();
}

// What another window did. Whom it forgot, this one forgets too: the sessionStorage is each window's own.
addEventListener('storage', ({ key, oldValue }) => {
  if (key !== ACCOUNTS && key !== null) return;
  tell();
  const isStored = ({ id }: Account) => stored().all.some((account) => account.id === id);
  for (const account of parse(oldValue)) if (!isStored(account)) erase(account.id);
});

/** Calls `listener` whenever somebody is signed in or out, in any window; gives how to stop that. */
export function watch(listener: () => void) {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

export const useAccount = () => useSyncExternalStore(watch, current);
export const useEnded = () => useSyncExternalStore(watch, ended);
export const useRemembered = () => useSyncExternalStore(watch, remembered);

/** An access token of the account that lives for a while yet; a new one where the stored one does not. */
export function freshToken(id: string): Promise<string> {
  return token(id, (account) => Date.parse(account.accessTokenExpiresAt) - Date.now() > 5_000);
}

/** An access token other than the one that the server refused. */
export function otherToken(id: string, refused: string): Promise<string> {
  return token(id, (account) => account.accessToken !== refused);
}

// A refresh token works once, and a second use ends the session. So one refresh at a time, over all windows of the
// browser, and the new pair is stored before anybody uses it. Another window may have refreshed while this one waited.
async function token(id: string, isGood: (account: Account) => boolean): Promise<string> {
  const known = find(id);
  if (isGood(known)) return known.accessToken;
  return exclusively(`kith:refresh:${id}`, async () => {
    const account = find(id);
    return isGood(account) ? account.accessToken : (await refresh(account)).accessToken;
  });
}

function find(id: string): Account {
  const account = remembered().find((account) => account.id === id);
  if (!account) throw new SignedOut();
  return account;
}

const REFRESH = graphql(`
  mutation Refresh($input: RefreshSessionInput!) {
    refreshSession(input: $input) {
      accessToken
      refreshToken
      accessTokenExpiresAt
      userErrors {
        code
      }
    }
  }
`);

async function refresh(account: Account): Promise<Account> {
  const variables: RefreshMutationVariables = { input: { refreshToken: account.refreshToken } };
  const response = await fetch(httpUrl, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ query: stringifyDocument(REFRESH), variables }),
    // On a dead network nobody else is to wait for this for ever.
    signal: AbortSignal.timeout(15_000),
  });
  const { data } = (await response.json()) as { data?: RefreshMutation | null };
  // The server is away or busy: nothing was used up, and the next try may succeed.
  if (!data) throw new Error('The session could not be refreshed. Try again.');
  const { accessToken, refreshToken, accessTokenExpiresAt } = data.refreshSession;
  if (!accessToken || !refreshToken || !accessTokenExpiresAt) {
    end(account.id);
    throw new SignedOut();
  }
  const renewed = { ...account, accessToken, refreshToken, accessTokenExpiresAt };
  store(renewed);
  return renewed;
}

// Web Locks are there in secure contexts only (https, localhost); elsewhere one page at least does not refresh twice.
const underWay = new Map<string, Promise<unknown>>();
function exclusively<T>(name: string, work: () => Promise<T>): Promise<T> {
  if (navigator.locks) return navigator.locks.request(name, work) as Promise<T>;
  const turn = (underWay.get(name) ?? Promise.resolve()).then(work, work);
  underWay.set(name, turn);
  return turn;
}
