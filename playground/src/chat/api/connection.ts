// Whether the live connection stands, for the line that tells people and for those who wait for it.
export type ConnectionState =
  | { state: 'connecting' }
  | { state: 'online' }
  /** A new connection is tried at `retryAt`, by `Date.now()`. */
  | { state: 'offline'; retryAt: number };

export class Connection {
  #state: ConnectionState = { state: 'connecting' };
  #listeners = new Set<() => void>();
  #tryNow = () => {};

  get = () => this.#state;

  subscribe = (listener: () => void) => {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  };

  set(state: ConnectionState) {
    if (state.state === this.#state.state && state.state !== 'offline') return;
    this.#state = state;
    for (const listener of this.#listeners) listener();
  }

  /** The server has answered something: no use in waiting longer. */
  reached() {
    this.#tryNow();
  }

  /** Waits, unless the network comes back, the server can be reached or somebody looks at the page again. */
  async waitToRetry(ms: number) {
    this.set({ state: 'offline', retryAt: Date.now() + ms });
    await new Promise<void>((resolve) => {
      const done = () => {
        clearTimeout(timer);
        removeEventListener('online', done);
        document.removeEventListener('visibilitychange', seen);
        resolve();
      };
      const seen = () => document.visibilityState === 'visible' && done();
      const timer = setTimeout(done, ms);
      addEventListener('online', done);
      document.addEventListener('visibilitychange', seen);
      this.#tryNow = done;
    });
  }
}
