// What the answers of this window showed: the id of each kind that came last, and the code of an invite link. They take
// the places of the placeholders in the operations of the shelf, so that nobody has to copy them by hand.
import { current } from '../shared/accounts';

const KEY = 'kith:seen';
const ID = /^(user|conv|msg|invite|link|session)_[0-9a-z]{26}$/;

let seen: Record<string, string> = stored();

/** Remembers what an answer shows. Of several ids of one kind the first counts: lists begin with the newest. */
export function learn(answer: unknown) {
  const found: Record<string, string> = {};
  collect(answer, found);
  seen = { ...seen, ...found };
  try {
    sessionStorage.setItem(KEY, JSON.stringify(seen));
  } catch {
    // Storage may be forbidden; it is then known until the page is left.
  }
}

/** Variables with what is known in the places of their placeholders. */
export function filled(variables: string): string {
  return variables
    .replace(/"(user|conv|msg|invite|link|session)_…"/g, (whole, kind: string) => quoted(seen[kind], whole))
    .replace(/"(code|refreshToken)": ("[^"]*…[^"]*")/g, (_, key: string, whole: string) => {
      const value = key === 'code' ? seen.code : current()?.refreshToken;
      return `"${key}": ${quoted(value, whole)}`;
    });
}

const quoted = (value: string | undefined, otherwise: string) => (value ? JSON.stringify(value) : otherwise);

function collect(value: unknown, found: Record<string, string>) {
  if (Array.isArray(value)) {
    for (const item of value) collect(item, found);
  } else if (value && typeof value === 'object') {
    // The session that asks is the one that nobody wants to revoke.
    const isOwn = 'current' in value && value.current === true;
    for (const [key, field] of Object.entries(value)) {
      if (typeof field !== 'string') collect(field, found);
      else if (key === 'code' && /^[\w-]{22}$/.test(field)) found.code ??= field;
      else if (!isOwn) note(field, found);
    }
  }
}

function note(text: string, found: Record<string, string>) {
  const kind = ID.exec(text)?.[1];
  // Nobody befriends, blocks or removes themselves.
  if (kind && text !== current()?.id) found[kind] ??= text;
}

function stored(): Record<string, string> {
  try {
    return JSON.parse(sessionStorage.getItem(KEY) ?? '{}') as Record<string, string>;
  } catch {
    return {};
  }
}
