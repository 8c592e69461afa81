// What was written and is not known to have arrived. It is kept over reloads, and sent until the server has answered:
// the key makes one message of any number of tries.
import type { Client, CombinedError } from 'urql';
import { type Connection } from './connection';
import { SendMessage } from './documents';

export interface Draft {
  /** The idempotency key. */
  key: string;
  conversationId: string;
  body: string;
  replyToId: string | null;
  /** By this browser's clock, for people. */
  writtenAt: string;
  /** Sequence of the newest message here when it was written. */
  after: number;
  /** It was tried, and the answer did not come: it may have arrived all the same. */
  wasTried?: boolean;
  /** Why the server refused it. It waits to be tried again or thrown away. */
  refusal?: string;
}

/** What the storage does not take. It lasts as long as the page. */
const unstored = new Map<string, string>();

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;
const NOTHING: readonly Draft[] = [];

export class Outbox {
  /** Each has an entry of its own in the storage, so that two windows of one person do not write over each other's. */
  #prefix: string;
  #client: Client;
  #drafts = new Map<string, readonly Draft[]>();
  #sending = new Set<string>();
  #listeners = new Set<() => void>();
  #isClosed = false;
  #wake = new Set<() => void>();
  #stopListening: () => void;

  constructor(accountId: string, client: Client, connection: Connection) {
    this.#prefix = `kith:outbox:${accountId}:`;
    this.#client = client;
    this.#restore();
    this.#stopListening = connection.subscribe(() => {
      if (connection.get().state === 'online') this.#wakeAll();
    });
    addEventListener('online', this.#wakeAll);
  }

  /** Sends what was not sent before the page was left. */
  begin() {
    for (const conversationId of this.#drafts.keys()) void this.#work(conversationId);
  }

  subscribe = (listener: () => void) => {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  };

  of = (conversationId: string) => this.#drafts.get(conversationId) ?? NOTHING;

  send({ conversationId, body, replyToId, after }: Pick<Draft, 'conversationId' | 'body' | 'replyToId' | 'after'>) {
    const draft = { key: newKey(), conversationId, body, replyToId, after, writtenAt: new Date().toISOString() };
    this.#set(conversationId, [...this.of(conversationId), draft]);
    void this.#work(conversationId);
  }

  tryAgain(draft: Draft) {
    const { refusal: _, ...again } = draft;
    this.#set(draft.conversationId, this.of(draft.conversationId).map((other) => (other.key === draft.key ? again : other)));
    void this.#work(draft.conversationId);
  }

  discard(draft: Draft) {
    this.#set(draft.conversationId, this.of(draft.conversationId).filter(({ key }) => key !== draft.key));
  }

  close() {
    this.#isClosed = true;
    this.#stopListening();
    removeEventListener('online', this.#wakeAll);
    this.#wakeAll();
  }

  // One at a time in each conversation, so that they arrive in the order in which they were written.
  async #work(conversationId: string) {
    if (this.#sending.has(conversationId)) return;
    this.#sending.add(conversationId);
    let wait = FIRST_WAIT_MS;
    for (;;) {
      const draft = this.of(conversationId).find(({ refusal }) => !refusal);
      if (!draft || this.#isClosed) break;
      const { body, replyToId, key } = draft;
      const input = { conversationId, body, replyToId, idempotencyKey: key };
      const { data, error } = await this.#client.mutation(SendMessage, { input }).toPromise();
      if (this.#isClosed) break;
      if (data?.sendMessage.messageEdge) {
        this.discard(draft);
        wait = FIRST_WAIT_MS;
        continue;
      }
      const refusal = data?.sendMessage.userErrors[0]?.message ?? finalRefusal(error);
      if (refusal) {
        this.#replace(draft, { ...draft, refusal });
        continue;
      }
      this.#replace(draft, { ...draft, wasTried: true });
      await this.#pause(retryAfter(error) ?? Math.random() * wait);
      wait = Math.min(wait * 2, LONGEST_WAIT_MS);
    }
    this.#sending.delete(conversationId);
  }

  #replace(draft: Draft, by: Draft) {
    this.#set(draft.conversationId, this.of(draft.conversationId).map((other) => (other.key === draft.key ? by : other)));
  }

  #pause(ms: number) {
    return new Promise<void>((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#wake.delete(done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      this.#wake.add(done);
    });
  }

  #wakeAll = () => {
    for (const wake of [...this.#wake]) wake();
  };

  #set(conversationId: string, drafts: readonly Draft[]) {
    const keys = new Set(drafts.map(({ key }) => key));
    for (const { key } of this.of(conversationId)) if (!keys.has(key)) remove(this.#prefix + key);
    for (const draft of drafts) store(this.#prefix + draft.key, JSON.stringify(draft));
    if (drafts.length) this.#drafts.set(conversationId, drafts);
    else this.#drafts.delete(conversationId);
    for (const listener of this.#listeners) listener();
  }

  #restore() {
    const drafts = stored(this.#prefix).sort((one, other) => one.writtenAt.localeCompare(other.writtenAt));
    for (const draft of drafts) {
      // It may have been under way when the page was left.
      const known = { ...draft, wasTried: true };
      this.#drafts.set(draft.conversationId, [...this.of(draft.conversationId), known]);
    }
  }
}

function store(key: string, text: string) {
  try {
    localStorage.setItem(key, text);
    unstored.delete(key);
  } catch {
    // Storage is forbidden or full.
    unstored.set(key, text);
  }
}

function remove(key: string) {
  unstored.delete(key);
  try {
    localStorage.removeItem(key);
  } catch {
    // Then it is not there.
  }
}

function stored(prefix: string) {
  const texts = new Map(unstored);
  try {
    for (const key of Object.keys(localStorage)) texts.set(key, localStorage.getItem(key) ?? '');
  } catch {
    // Storage is forbidden.
  }
  return [...texts].filter(([key]) => key.startsWith(prefix)).flatMap(([, text]) => parsed(text));
}

function parsed(text: string): Draft[] {
  try {
    return [JSON.parse(text) as Draft];
  } catch {
    // Nothing that we wrote.
    return [];
  }
}

/** An idempotency key. `randomUUID` is there only where the page came by HTTPS or from this very machine. */
function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** What says that trying again may help. */
const TRANSIENT = ['UNAVAILABLE', 'INTERNAL', 'RATE_LIMITED', 'UNAUTHENTICATED'];

function finalRefusal(error: CombinedError | undefined) {
  const first = error?.graphQLErrors.find(({ extensions }) => !TRANSIENT.includes(String(extensions?.code)));
  return first?.message;
}

function retryAfter(error: CombinedError | undefined) {
  const seconds = error?.graphQLErrors[0]?.extensions?.retryAfter;
  return typeof seconds === 'number' ? seconds * 1000 : undefined;
}
