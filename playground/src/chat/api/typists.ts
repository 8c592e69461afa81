// Who is typing where. It ends by itself when nothing more is heard, as it does at the server.
export interface Typist {
  id: string;
  displayName: string;
}

const LASTS_MS = 6_000;
const NOBODY: readonly Typist[] = [];

export class Typists {
  #typists = new Map<string, readonly Typist[]>();
  #ends = new Map<string, ReturnType<typeof setTimeout>>();
  #listeners = new Set<() => void>();

  subscribe = (listener: () => void) => {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  };

  of = (conversationId: string) => this.#typists.get(conversationId) ?? NOBODY;

  heard(conversationId: string, typist: Typist, typing: boolean) {
    const key = `${conversationId} ${typist.id}`;
    clearTimeout(this.#ends.get(key));
    if (typing) this.#ends.set(key, setTimeout(() => this.heard(conversationId, typist, false), LASTS_MS));
    else this.#ends.delete(key);
    const others = this.of(conversationId).filter(({ id }) => id !== typist.id);
    if (!typing && others.length === this.of(conversationId).length) return;
    this.#typists.set(conversationId, typing ? [...others, typist] : others);
    for (const listener of this.#listeners) listener();
  }

  close() {
    for (const end of this.#ends.values()) clearTimeout(end);
  }
}
