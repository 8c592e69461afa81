// Which screen a window shows is in the fragment of its address: `#/c/conv_…`, `#/c/conv_…/12`, `#/c/conv_…/about`,
// `#/people`, `#/search/conv_…/words`.
import { useSyncExternalStore } from 'react';

export interface Route {
  /** `''` is the list of conversations alone. */
  page: '' | 'c' | 'people' | 'settings' | 'search';
  /** What follows the page. */
  id: string;
  /** In a conversation: the message to show. */
  sequence: number | null;
  /** In a conversation: what is about it is shown, too. */
  isAbout: boolean;
  /** In a search: what is looked for. */
  text: string;
}

export function navigate(to: string) {
  const hash = to.startsWith('#') ? to : `#${to}`;
  if (location.hash !== hash) location.hash = hash;
}

export const searchHash = (conversationId: string, text = '') => `#/search/${encodeURIComponent(conversationId)}${text ? `/${encodeURIComponent(text)}` : ''}`;

export const conversationHash = (id: string, sequence?: number) => `#/c/${encodeURIComponent(id)}${sequence ? `/${sequence}` : ''}`;

const PAGES: readonly string[] = ['c', 'people', 'settings', 'search'] satisfies Route['page'][];

export function useRoute(): Route {
  const hash = useSyncExternalStore(subscribe, () => location.hash);
  const [, page = '', id = '', detail = ''] = hash.split('/');
  if (!PAGES.includes(page)) return { page: '', id: '', sequence: null, isAbout: false, text: '' };
  return { page: page as Route['page'], id: decode(id), sequence: Number.parseInt(detail, 10) || null, isAbout: detail === 'about', text: decode(detail) };
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
