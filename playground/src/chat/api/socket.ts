// The one WebSocket of a window: opened when somebody listens, opened again for as long as it takes.
import { type Client, createClient } from 'graphql-ws';
import { SignedOut, current, freshToken, otherToken } from '../../shared/accounts';
import { socketUrl } from '../../shared/server';
import type { Connection } from './connection';

/** Between two questions whether the server is still there. */
const PING_MS = 10_000;
/** How long its answer may take before the network is taken for dead. */
const PONG_LIMIT_MS = 5_000;
/** How long a new connection may take to be greeted. */
const ACK_LIMIT_MS = 10_000;
const LONGEST_WAIT_MS = 15_000;

export function openSocket(accountId: string, connection: Connection, signedOut: () => void): Client {
  let token = '';
  let refused: string | null = null;
  let pong: ReturnType<typeof setTimeout> | undefined;
  const socket = createClient({
    url: socketUrl.href,
    // Asked at each connection, so that a new one brings the newest token.
    connectionParams: async () => {
      try {
        token = await (refused ? otherToken(accountId, refused) : freshToken(accountId));
        refused = null;
      } catch (error) {
        if (error instanceof SignedOut) signedOut();
        // The server is away: with the old token it says 4403 if it matters, and the next connection asks again.
        token = current()?.accessToken ?? '';
      }
      return { authorization: `Bearer ${token}` };
    },
    // The defaults give up when a connection is refused, as it is while the server restarts, and after five tries.
    shouldRetry: () => true,
    retryAttempts: Infinity,
    retryWait: (retries) => connection.waitToRetry(Math.random() * Math.min(500 * 2 ** retries, LONGEST_WAIT_MS)),
    keepAlive: PING_MS,
    connectionAckWaitTimeout: ACK_LIMIT_MS,
    on: {
      connecting: () => connection.set({ state: 'connecting' }),
      connected: () => connection.set({ state: 'online' }),
      ping: (isTheServers) => {
        if (isTheServers) return;
        clearTimeout(pong);
        pong = setTimeout(() => socket.terminate(), PONG_LIMIT_MS);
      },
      pong: (isTheServers) => {
        if (isTheServers) clearTimeout(pong);
      },
      closed: (event) => {
        clearTimeout(pong);
        const { code } = event as CloseEvent;
        if (code === 4403) refused = token;
        // The session is over; but another window may have begun a newer one of the same person.
        if (code === 1008) otherToken(accountId, token).catch(signedOut);
        connection.set({ state: 'connecting' });
      },
    },
  });
  return socket;
}
