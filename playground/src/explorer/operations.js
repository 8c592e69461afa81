// The tabs of a first visit, in the order in which two people get from nothing to a live message.
const ORDER = [
  'register',
  'login',
  'send-invite',
  'incoming-invites',
  'accept-invite',
  'conversations',
  'send-message',
  'message-events',
  'events',
  'presence',
  'typing',
  'set-typing',
  'messages/add-reaction',
  'messages/search-messages',
];

const documents = import.meta.glob('../operations/**/*.graphql', { eager: true, query: '?raw', import: 'default' });
const variables = import.meta.glob('../operations/**/*.json', { eager: true, query: '?raw', import: 'default' });

export const tabs = ORDER.map((name) => ({
  query: documents[`../operations/${name}.graphql`].trimEnd(),
  variables: (variables[`../operations/${name}.json`] ?? '').trimEnd(),
}));
