// Light, dark, or what the system says: kept in this browser, for everybody who uses it.
import { useSyncExternalStore } from 'react';

export type Theme = 'system' | 'light' | 'dark';

const KEY = 'kith:theme';
const listeners = new Set<() => void>();
let theme = stored();

function stored(): Theme {
  try {
    const word = localStorage.getItem(KEY);
    return word === 'light' || word === 'dark' ? word : 'system';
  } catch {
    return 'system';
  }
}

function apply() {
  if (theme === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  for (const listener of listeners) listener();
}

export function setTheme(chosen: Theme) {
  theme = chosen;
  try {
    if (chosen === 'system') localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, chosen);
  } catch {
    // It lasts as long as the page, then.
  }
  apply();
}

export const useTheme = () =>
  useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => theme,
  );

addEventListener('storage', ({ key }) => {
  if (key !== KEY && key !== null) return;
  theme = stored();
  apply();
});
apply();
