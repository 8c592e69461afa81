// Which screen a window shows is in the fragment of its address: `#/c/conv_…`, `#/people`, `#/settings`.
import { useSyncExternalStore } from 'react';

export interface Route {
  /** `''` is the list of conversations alone. */
  page: '' | 'c' | 'people' | 'settings' | 'search';
  /** What follows the page, decoded. */
  id: string;
}

export function navigate(to: string) {
  const hash = to.startsWith('#') ? to : `#${to}`;
  if (location.hash !== hash) location.hash = hash;
}

export const conversationHash = (id: string) => `#/c/${encodeURIComponent(id)}`;

const PAGES: readonly string[] = ['c', 'people', 'settings', 'search'] satisfies Route['page'][];

export function useRoute(): Route {
  const hash = useSyncExternalStore(subscribe, () => location.hash);
  const [, page = '', id = ''] = hash.split('/');
  return PAGES.includes(page) ? { page: page as Route['page'], id: decode(id) } : { page: '', id: '' };
}

function decode(text: string) {
  try {
    return decodeURIComponent(text);
  } catch {
    return '';
  }
}

function subscribe(listener: () => void) {
  addEventListener('hashchange', listener);
  return () => removeEventListener('hashchange', listener);
}
