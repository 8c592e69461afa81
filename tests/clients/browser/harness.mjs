// What the scripts that drive a browser share: Chromium, people who act by the API, and a look at everything that a
// page must not do. A script is a function that is given a browser; it succeeds when that function returns and no page
// has logged an error, thrown, broken its content security policy or asked a foreign host.
import { createReadStream, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { extname, join, normalize } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { chromium } from 'playwright-core';
import { fail, finish, limitTime } from '../common.mjs';

const ARGUMENTS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--disable-dev-shm-usage',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  // A second window is as awake as the first.
  '--disable-background-timer-throttling',
  '--disable-backgrounding-occluded-windows',
  '--disable-renderer-backgrounding',
];

// As an expression for `evaluate`, because the policy of the pages forbids script elements that are not theirs.
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** How long a page may take for what should happen at once, in milliseconds. */
export const PATIENCE = 20_000;

// What Chromium itself logs when a connection breaks. It is no fault of a page whose network is cut on purpose.
const CUT = /net::ERR_|WebSocket connection to .* failed/;

/** Runs a script, and says how it ended by the status of the process. */
export async function drive(script) {
  limitTime();
  const browser = await chromium.launch({
    executablePath: process.env.KITH_CHROMIUM ?? '/usr/bin/chromium',
    args: ARGUMENTS,
  });
  const faults = [];
  const pages = [];
  try {
    await script({ open: (options) => open(browser, faults, pages, options) });
    if (faults.length) throw new Error(`the pages misbehaved:\n${[...new Set(faults)].join('\n')}`);
  } catch (error) {
    for (const page of pages) {
      console.error(`---- ${page.url()}`);
      console.error(await page.locator('body').innerText({ timeout: 1000 }).catch(() => '(no text)'));
    }
    if (faults.length) console.error(`---- faults\n${faults.join('\n')}`);
    fail(error.stack ?? error);
  }
  await browser.close();
  finish();
}

/**
 * A window of its own, with its own storage. `hosts` are those that it may ask; `cuts` says that its network breaks on
 * purpose; the rest is for Playwright's `newContext`.
 */
async function open(browser, faults, pages, { hosts, cuts = false, ...options }) {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(PATIENCE);
  await context.exposeBinding('kithFault', (_, fault) => faults.push(fault));
  await context.addInitScript(() => {
    addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI, sourceFile, lineNumber }) =>
      window.kithFault(`CSP: ${violatedDirective} forbids ${blockedURI} (${sourceFile}:${lineNumber})`),
    );
  });
  context.on('request', (request) => {
    const { protocol, host } = new URL(request.url());
    if (/^(https?|wss?):$/.test(protocol) && !hosts.includes(host)) faults.push(`asked a foreign host: ${request.url()}`);
  });
  context.on('page', (page) => {
    pages.push(page);
    page.on('pageerror', (error) => faults.push(`threw: ${error.stack ?? error}`));
    page.on('console', (message) => {
      if (!['error', 'warning'].includes(message.type())) return;
      if (cuts && CUT.test(message.text())) return;
      faults.push(`logged: ${message.text()} (${message.location().url})`);
    });
    page.on('websocket', (socket) => {
      if (!hosts.includes(new URL(socket.url()).host)) faults.push(`asked a foreign host: ${socket.url()}`);
    });
  });
  return context.newPage();
}

/** Looks until `look` gives what is expected; fails with what it saw last. */
export async function eventually(what, expected, look) {
  const deadline = Date.now() + PATIENCE;
  for (;;) {
    const seen = await look();
    if (isDeepStrictEqual(seen, expected)) return;
    if (Date.now() > deadline) {
      throw new Error(`${what}: ${difference(expected, seen)}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

function difference(expected, seen) {
  if (!Array.isArray(expected) || !Array.isArray(seen)) {
    return `expected ${JSON.stringify(expected)}, saw ${JSON.stringify(seen)}`;
  }
  const n = Math.max(expected.length, seen.length);
  const at = Array.from({ length: n }, (_, n) => n).filter((n) => !isDeepStrictEqual(expected[n], seen[n]));
  const lines = at.slice(0, 10).map((n) => `  ${n}: expected ${JSON.stringify(expected[n])}, saw ${JSON.stringify(seen[n])}`);
  return `expected ${expected.length}, saw ${seen.length}, and ${at.length} differ:\n${lines.join('\n')}`;
}

/** Fails on what axe-core calls a serious or critical fault of accessibility. */
export async function isAccessible(page, what) {
  const faults = await faultsOfAccessibility(page);
  if (faults.length) throw new Error(`${what} has faults of accessibility:\n${faults.join('\n')}`);
}

/** What axe-core calls a serious or critical fault of accessibility. */
export async function faultsOfAccessibility(page) {
  await page.evaluate(AXE);
  return page.evaluate(async () => {
    // React Aria's announcer speaks once, and may point at a button that is gone by now.
    const { violations } = await window.axe.run({ exclude: [['[data-live-announcer]']] });
    return violations
      .filter(({ impact }) => impact === 'serious' || impact === 'critical')
      .flatMap(({ id, help, nodes }) => nodes.map(({ html, any, all, none }) => {
        const reasons = [...any, ...all, ...none].map(({ message }) => message);
        return `${id}: ${help}\n  ${html.slice(0, 200)}\n  ${reasons.join('; ')}`;
      }));
  });
}

/** Says something until it is heard: a subscription does not say when it begins. `heard` comes when it was. */
export async function sayUntilHeard(person, conversationId, body, heard) {
  let isHeard = false;
  const hearing = heard.then(() => (isHeard = true));
  while (!isHeard) {
    await person.send(conversationId, body);
    await Promise.race([hearing, new Promise((resolve) => setTimeout(resolve, 1000))]);
  }
}

/** Somebody who acts by the API, and signs in again when their token has expired. */
export class Person {
  constructor(url, username, password) {
    Object.assign(this, { url, username, password });
  }

  /** Makes an account. */
  static async register(url, { username, displayName, password }) {
    const person = new Person(url, username, password);
    const query = 'mutation($input: RegisterInput!) { register(input: $input) { accessToken userErrors { message } } }';
    const input = { username, displayName, password, email: `${username}@example.org` };
    const { data } = await post(url, query, { input });
    if (!data?.register.accessToken) throw new Error(`${username} could not register: ${JSON.stringify(data)}`);
    person.token = data.register.accessToken;
    return person;
  }

  async ask(query, variables = {}) {
    this.token ??= await this.signIn();
    const answer = await post(this.url, query, variables, this.token);
    if (answer.errors?.[0].extensions?.code === 'UNAUTHENTICATED') {
      this.token = undefined;
      return this.ask(query, variables);
    }
    if (answer.errors) throw new Error(`${query}\nwas answered with ${JSON.stringify(answer.errors)}`);
    return answer.data;
  }

  /** Calls a mutation with one input, of the type that is called like it, and gives its payload. */
  async mutate(mutation, input, selection = '', type = `${mutation[0].toUpperCase()}${mutation.slice(1)}Input`) {
    const query = `mutation($input: ${type}!) { ${mutation}(input: $input) { ${selection} userErrors { code message } } }`;
    const payload = (await this.ask(query, { input }))[mutation];
    if (payload.userErrors.length) throw new Error(`${mutation} was refused: ${payload.userErrors[0].message}`);
    return payload;
  }

  async signIn() {
    const query = 'mutation($input: LoginInput!) { login(input: $input) { accessToken userErrors { message } } }';
    const { data } = await post(this.url, query, { input: { identifier: this.username, password: this.password } });
    if (!data?.login.accessToken) throw new Error(`${this.username} could not sign in: ${JSON.stringify(data)}`);
    return data.login.accessToken;
  }

  async send(conversationId, body) {
    const input = { conversationId, body };
    return (await this.mutate('sendMessage', input, 'messageEdge { node { id sequence } }')).messageEdge.node;
  }

  /** All messages of a conversation, oldest first. */
  async history(conversationId) {
    const query = `query($id: ID!, $after: String) { conversation(id: $id) { messages(first: 100, after: $after) {
      nodes { id sequence body editedAt sender { displayName } } pageInfo { hasNextPage endCursor } } } }`;
    const messages = [];
    for (let after = null; ; ) {
      const { conversation } = await this.ask(query, { id: conversationId, after });
      messages.push(...conversation.messages.nodes);
      if (!conversation.messages.pageInfo.hasNextPage) return messages;
      after = conversation.messages.pageInfo.endCursor;
    }
  }
}

async function post(url, query, variables, token) {
  const response = await fetch(`${url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) },
    body: JSON.stringify({ query, variables }),
  });
  return response.json();
}

const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css' };

/** Serves a folder; gives its address. */
export async function serve(folder) {
  const server = createServer((request, response) => {
    const path = normalize(new URL(request.url, 'http://localhost').pathname);
    const file = join(folder, path === '/' ? 'index.html' : path);
    const stream = createReadStream(file);
    stream.on('open', () => {
      response.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream' });
      stream.pipe(response);
    });
    stream.on('error', () => response.writeHead(404).end());
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${server.address().port}`;
}
