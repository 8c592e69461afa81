// Where the server is: the pages lie at its root or below (`/join/CODE`), and their files in `assets/` beside it, also
// behind a proxy that puts a prefix in front.
const root = import.meta.env.PROD ? new URL('..', import.meta.url) : new URL('/', location.href);

export const at = (path: string) => new URL(path, root);

export const httpUrl = at('graphql');

export const socketUrl = at('graphql/ws');
socketUrl.protocol = root.protocol === 'https:' ? 'wss:' : 'ws:';
