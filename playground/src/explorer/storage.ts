// Where GraphiQL keeps its tabs and settings. Two windows beside each other are two people: each keeps its own tabs over a
// reload, and a new window begins with the newest that there are.
const has = (storage: () => Storage) => {
  try {
    return storage();
  } catch {
    return null; // Forbidden; then tabs live as long as the page.
  }
};

const own = has(() => sessionStorage);
const shared = has(() => localStorage);

export const storage = {
  get length() {
    return shared?.length ?? 0;
  },
  getItem: (key: string) => own?.getItem(key) ?? shared?.getItem(key) ?? null,
  setItem(key: string, value: string) {
    own?.setItem(key, value);
    shared?.setItem(key, value);
  },
  removeItem(key: string) {
    own?.removeItem(key);
    shared?.removeItem(key);
  },
  clear() {
    for (const storage of [own, shared]) {
      for (const key of Object.keys(storage ?? {}).filter((key) => key.startsWith('graphiql:'))) storage?.removeItem(key);
    }
  },
};
