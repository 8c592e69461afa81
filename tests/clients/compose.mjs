// Composes the subgraph's schema with one by somebody else, who extends and refers to its entities, as a federation
// gateway does. Environment: KITH_SUBGRAPH, the path of what `kith schema --federation` prints, and KITH_SCHEMA, the path
// of what `kith schema` prints.
import { readFile } from 'node:fs/promises';
import { composeServices, compositionHasErrors } from '@theguild/federation-composition';
import { parse } from 'graphql';
import { fail, finish, limitTime } from './common.mjs';

limitTime();
const kith = await readFile(process.env.KITH_SUBGRAPH, 'utf8');
const plain = await readFile(process.env.KITH_SCHEMA, 'utf8');

const badges = `
  extend schema @link(url: "https://specs.apollo.dev/federation/v2.0", import: ["@key", "@shareable", "@external"])
  type Query { topBadges(first: Int): BadgeConnection! }
  type User @key(fields: "id") { id: ID! badges: [String!]! }
  type DirectConversation @key(fields: "id") { id: ID! colour: String }
  type Group @key(fields: "id") { id: ID! colour: String }
  type Invite @key(fields: "id") { id: ID! campaign: String }
  type Message @key(fields: "id", resolvable: false) { id: ID! }
  type Flag { id: ID! message: Message! }
  type BadgeConnection { flags: [Flag!]! users: [User!]! pageInfo: PageInfo! }
  type PageInfo @shareable {
    hasNextPage: Boolean! hasPreviousPage: Boolean! startCursor: String endCursor: String
  }
`;

const composed = compose(kith);
if (compositionHasErrors(composed)) fail('the composition is refused', composed.errors);
for (const type of ['User', 'DirectConversation', 'Group', 'Invite', 'Message']) {
  const joins = composed.supergraphSdl.match(new RegExp(`type ${type}\\b[^{]*@join__type\\(graph: KITH, key: "id"`));
  if (!joins) fail(`${type} is no entity in the supergraph`);
}
// That it can be refused: the same without keys is.
if (!compositionHasErrors(compose(plain))) fail('a schema without keys was composed');
console.log('the supergraph is composed');
finish();

function compose(typeDefs) {
  return composeServices([
    { name: 'kith', url: 'http://kith/graphql', typeDefs: parse(typeDefs) },
    { name: 'badges', url: 'http://badges/graphql', typeDefs: parse(badges) },
  ]);
}
