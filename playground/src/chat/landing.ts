// Links into the app from outside: what an invite link or a mail leads to is in the path, not in the fragment.
import { at } from '../shared/server';

export type Landing =
  | { page: 'join'; code: string }
  | { page: 'verify-email' | 'reset-password' | 'invite'; token: string };

export function landing(): Landing | null {
  const path = location.pathname.slice(at('').pathname.length);
  const [page = '', code = ''] = path.split('/');
  const token = new URLSearchParams(location.search).get('token') ?? '';
  switch (page) {
    case 'join':
      return { page, code: decodeURIComponent(code) };
    case 'verify-email':
    case 'reset-password':
    case 'invite':
      return { page, token };
    default:
      return null;
  }
}
