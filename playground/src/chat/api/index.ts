// How the pages speak to the server. Questions and changes go by urql's own hooks.
export { KithProvider, useConnection, useDrafts, useKith, useMe, useTypists } from './Provider';
export type { Draft } from './outbox';
export { conversationHash, navigate, searchHash, useRoute, type Route } from './route';
