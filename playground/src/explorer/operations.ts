// The operations that lie ready in `playground/operations/<slice>/<number>-<name>.graphql`, each with a comment at its
// head (what it does, what it needs, what comes next) and, beside it, variables to begin with.

export interface Operation {
  /** `SendMessage` */
  name: string;
  kind: 'query' | 'mutation' | 'subscription';
  slice: string;
  /** What it does. */
  summary: string;
  needs: string;
  /** Names of operations to go on with. */
  next: string[];
  query: string;
  /** As JSON, with placeholders like `conv_…`. */
  variables: string;
}

export interface Step {
  operation: Operation;
  where: string;
}

/** From nothing to a live message, by two people in two windows. */
export const firstSteps = (): Step[] =>
  [
    ['Register', 'In both windows, under two names'],
    ['SendInvite', 'First window'],
    ['IncomingInvites', 'Second window'],
    ['AcceptInvite', 'Second window'],
    ['MessageEvents', 'Second window: it listens'],
    ['Conversations', 'First window'],
    ['SendMessage', 'First window: and the second has it'],
  ].map(([name = '', where = '']) => ({ operation: named(name), where }));

/** In the order in which somebody new meets them. */
const SLICES = [
  'accounts',
  'users',
  'invites',
  'friends',
  'conversations',
  'messages',
  'typing',
  'presence',
  'groups',
  'events',
];

const documents = import.meta.glob<string>('../../operations/**/*.graphql', { eager: true, query: '?raw', import: 'default' });
const variables = import.meta.glob<string>('../../operations/**/*.json', { eager: true, query: '?raw', import: 'default' });

/** By slice, and in the order of their numbers. */
export const slices = SLICES.map((slice) => ({
  slice,
  operations: Object.keys(documents)
    .filter((path) => path.startsWith(`../../operations/${slice}/`))
    .sort()
    .map((path) => read(slice, path)),
}));

const byName = new Map(slices.flatMap(({ operations }) => operations.map((operation) => [operation.name, operation])));

export function named(name: string): Operation {
  const operation = byName.get(name);
  if (!operation) throw new Error(`There is no operation ${name}.`);
  return operation;
}

export const find = (name: string | null | undefined) => (name ? byName.get(name) : undefined);

/** `SendMessage` → `Send message` */
export function title({ name }: Operation) {
  return name.replace(/(?<!^)[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

function read(slice: string, path: string): Operation {
  const lines = (documents[path] ?? '').trimEnd().split('\n');
  const isComment = (line: string) => line.startsWith('#');
  const document = lines.filter((line) => !isComment(line)).join('\n');
  const [, kind, name] = /^(query|mutation|subscription) (\w+)/m.exec(document) ?? [];
  const comment = lines.filter(isComment).map((line) => line.slice(1).trim());
  const [summary = '', rest = ''] = comment.join(' ').split('Needs: ');
  const [needs = '', next = ''] = rest.split('Next: ');
  return {
    name: name ?? path,
    kind: kind as Operation['kind'],
    slice,
    summary: summary.trim(),
    needs: needs.trim(),
    next: next.trim().split(', '),
    // The editor wraps lines as its width wants it.
    query: `# ${summary.trim()}\n# Needs: ${needs.trim()}\n# Next: ${next.trim()}\n${document}`,
    variables: (variables[path.replace(/graphql$/, 'json')] ?? '').trimEnd(),
  };
}
