// The graphql-ws client as applications use it: follows one conversation over WebSocket and resumes after every cut.
// Environment: KITH_URL, KITH_TOKEN, KITH_CONVERSATION, KITH_COUNT; optional KITH_AFTER, KITH_TIMEOUT, KITH_RETRY_MS.
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';
import { announcer, base, follow, retryWait, setting } from './common.mjs';

const token = setting('KITH_TOKEN');
const announce = announcer();
let socket;

const client = createClient({
  url: `${base().replace(/^http/, 'ws')}/graphql/ws`,
  webSocketImpl: WebSocket,
  // A function, because it is asked at each connect: an application would return its freshest token.
  connectionParams: () => ({ authorization: `Bearer ${token}` }),
  retryAttempts: 1000,
  // The default never tries again once a connection was refused, so that a restart of the server would end the client.
  // Close codes that the protocol calls fatal stay fatal: the library looks at those first.
  shouldRetry: () => true,
  ...(retryWait() && { retryWait: retryWait() }),
  on: {
    connected(connected) {
      socket = connected;
      // The client sends `subscribe` right after this event. A ping behind it that is answered shows that the server
      // has read the subscribe message.
      setImmediate(() => {
        if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ type: 'ping' }));
      });
    },
    pong: announce,
    closed: (event) => console.error(`closed with ${event.code} ${event.reason}`.trim()),
  },
});

follow(client);
