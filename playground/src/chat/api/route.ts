// Which screen a window shows is in the fragment of its address: `#/c/conv_…`, `#/c/conv_…/12`, `#/people`.
import { useSyncExternalStore } from 'react';

export interface Route {
  /** `''` is the list of conversations alone. */
  page: '' | 'c' | 'people' | 'settings' | 'search';
  /** What follows the page. */
  id: string;
  /** In a conversation: the message to show. */
  sequence: number | null;
}

export function navigate(to: string) {
  const hash = to.startsWith('#') ? to : `#${to}`;
  if (location.hash !== hash) location.hash = hash;
}

export const conversationHash = (id: string, sequence?: number) => `#/c/${encodeURIComponent(id)}${sequence ? `/${sequence}` : ''}`;

const PAGES: readonly string[] = ['c', 'people', 'settings', 'search'] satisfies Route['page'][];

export function useRoute(): Route {
  const hash = useSyncExternalStore(subscribe, () => location.hash);
  const [, page = '', id = '', sequence = ''] = hash.split('/');
  if (!PAGES.includes(page)) return { page: '', id: '', sequence: null };
  return { page: page as Route['page'], id: decode(id), sequence: Number.parseInt(sequence, 10) || null };
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
