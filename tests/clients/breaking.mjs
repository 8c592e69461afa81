// Says what a new schema takes away from the clients of an old one. Environment: KITH_OLD and KITH_NEW, paths of SDL
// files; or KITH_RELEASES, a folder of released schemas `vX.Y.Z.graphql`, the newest of which is the old one, and which
// need not have any. KITH_ACCEPTED, a file of changes that were announced, one description a line. KITH_OPERATIONS, a
// folder with a folder for each release of operations that its clients may send: they must be valid against the new one.
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { buildSchema, findBreakingChanges, parse, Source, validate } from 'graphql';
import { fail, finish, limitTime, setting } from './common.mjs';

limitTime();
const { KITH_RELEASES, KITH_OLD, KITH_ACCEPTED, KITH_OPERATIONS } = process.env;
const read = (path) => readFile(path, 'utf8');
const next = buildSchema(await read(setting('KITH_NEW')));
const old = KITH_OLD ?? (await newestRelease(setting('KITH_RELEASES')));
const found = [];

if (old) {
  const announced = KITH_ACCEPTED ? (await read(KITH_ACCEPTED)).split('\n').map((line) => line.trim()) : [];
  for (const { description } of findBreakingChanges(buildSchema(await read(old)), next)) {
    if (!announced.includes(description)) found.push(`${description} (since ${old})`);
  }
}

let count = 0;
for (const release of KITH_OPERATIONS ? await folder(KITH_OPERATIONS) : []) {
  for (const file of await folder(join(KITH_OPERATIONS, release))) {
    if (!file.endsWith('.graphql')) continue;
    const path = join(KITH_OPERATIONS, release, file);
    count += 1;
    for (const error of validate(next, parse(new Source(await read(path), path)))) found.push(String(error));
  }
}

for (const change of found) console.log(`${change}\n`);
if (found.length > 0) fail(`the new schema breaks clients in ${found.length} places: see docs/compatibility.md`);
console.log(`nothing is taken from clients of ${old ?? 'no release'}; ${count} recorded operations are valid`);
finish();

async function newestRelease(path) {
  const versions = (await folder(path)).filter((name) => /^v\d+\.\d+\.\d+\.graphql$/.test(name));
  const parts = (name) => name.match(/\d+/g).map(Number);
  const before = (one, other) => parts(one).map((part, idx) => part - parts(other)[idx]).find((difference) => difference) ?? 0;
  const newest = versions.sort(before).at(-1);
  return newest && join(path, newest);
}

async function folder(path) {
  return (await readdir(path)).sort();
}
