// The graphql-sse client in distinct connections mode: follows one conversation over server-sent events and resumes
// after every cut.
// Environment: KITH_URL, KITH_TOKEN, KITH_CONVERSATION, KITH_COUNT; optional KITH_AFTER, KITH_TIMEOUT, KITH_RETRY_MS.
import { createClient } from 'graphql-sse';
import { announcer, base, follow, retryWait, setting } from './common.mjs';

const token = setting('KITH_TOKEN');

const client = createClient({
  url: `${base()}/graphql/stream`,
  // A function, because it is asked at each connect: an application would return its freshest token.
  headers: () => ({ authorization: `Bearer ${token}` }),
  retryAttempts: 1000,
  ...(retryWait() && { retry: retryWait() }),
  // Here `connected` means that the server accepted the subscription: its headers came with 200.
  on: { connected: announcer() },
});

follow(client);
