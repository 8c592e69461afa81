// Builds a client schema as explorers and code generators do, and validates every example operation of the playground
// against it. Environment: KITH_URL of a running server, or KITH_SCHEMA, the path of an SDL file.
import { readFile, readdir } from 'node:fs/promises';
import {
  assertValidSchema,
  buildClientSchema,
  buildSchema,
  getIntrospectionQuery,
  GraphQLError,
  parse,
  Source,
  validate,
} from 'graphql';
import { base, fail, finish, limitTime } from './common.mjs';

limitTime();
const operations = new URL('../../playground/operations/', import.meta.url);
const schema = process.env.KITH_SCHEMA
  ? buildSchema(await readFile(process.env.KITH_SCHEMA, 'utf8'))
  : buildClientSchema(await introspect());
assertValidSchema(schema);

const files = (await readdir(operations, { recursive: true })).filter((name) => name.endsWith('.graphql')).sort();
let wrong = 0;
for (const file of files) {
  const errors = check(new Source(await readFile(new URL(file, operations), 'utf8'), file));
  for (const error of errors) console.log(`${error}\n`);
  wrong += errors.length;
}

if (files.length === 0) fail('playground/operations holds no operation');
if (wrong > 0) fail(`${wrong} errors in the operations of the playground`);
console.log(`${files.length} operations are valid`);
finish();

function check(source) {
  try {
    return validate(schema, parse(source));
  } catch (error) {
    if (error instanceof GraphQLError) return [error];
    throw error;
  }
}

async function introspect() {
  const query = getIntrospectionQuery({
    specifiedByUrl: true,
    directiveIsRepeatable: true,
    schemaDescription: true,
    inputValueDeprecation: true,
    oneOf: true,
  });
  const response = await fetch(`${base()}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'application/graphql-response+json' },
    body: JSON.stringify({ query }),
  }).catch((error) => fail('the server cannot be reached', error));
  const { data, errors } = await response.json();
  if (!data || errors) fail('introspection was refused', errors);
  return data;
}
