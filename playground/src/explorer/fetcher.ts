// How the page talks to the server: queries and mutations by POST, subscriptions by graphql-transport-ws.
// Our own rather than the toolkit's: that one asks for multipart answers and cannot resume a subscription.
import type { GraphiQLProps } from 'graphiql';
import { getOperationAST, parse, type OperationDefinitionNode } from 'graphql';
import { current, forget, freshToken, otherToken, type Account } from '../shared/accounts';
import { httpUrl } from '../shared/server';
import { showNone } from './connection';
import { failed, type Params, type Result } from './result';
import { learn } from './seen';
import { adopt, type Tokens } from './session';
import { subscribe } from './subscribe';

type Fetcher = GraphiQLProps['fetcher'];

// GraphiQL shows whatever comes; its own type of an answer is narrower than what a server may say.
type Answer = ReturnType<Fetcher>;

type Headers = Record<string, string>;

export const fetcher: Fetcher = (params, options) => {
  const sent = params as Params;
  const headers = (options?.headers ?? {}) as Headers;
  // The schema is the same for everybody, and a bad token in the Headers pane must not hide it.
  if (params.operationName === 'IntrospectionQuery') return send(sent, {}) as Answer;
  const operation = operationOf(sent);
  const override = entry(headers, 'authorization');
  if (operation?.operation === 'subscription') return subscribe(sent, operation, override) as Answer;
  showNone();
  // A refresh in front of it would use up the very token that it brings.
  const account = override || isRefresh(operation) ? null : current();
  return post(sent, headers, account) as Answer;
};

async function post(params: Params, headers: Headers, account: Account | null): Promise<Result> {
  try {
    let token = account && (await freshToken(account.id));
    let result = await send(params, withToken(headers, token));
    if (account && token && isUnauthenticated(result)) {
      token = await otherToken(account.id, token);
      result = await send(params, withToken(headers, token));
    }
    learn(result.data);
    await keepUp(result, account);
    return result;
  } catch (error) {
    return failed(error);
  }
}

async function send(params: Params, headers: Headers): Promise<Result> {
  const response = await fetch(httpUrl, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'application/graphql-response+json, application/json;q=0.9',
      ...headers,
    },
    body: JSON.stringify(params),
  });
  const text = await response.text();
  try {
    return JSON.parse(text) as Result;
  } catch {
    // A proxy's error page, say. Show it rather than a parser's complaint about it.
    throw new Error(`${response.status} ${response.statusText}: ${text.slice(0, 500)}`);
  }
}

// Any field of any answer that carries tokens signs this window in; what ends the session forgets the account.
async function keepUp({ data }: Result, account: Account | null) {
  for (const [field, payload] of Object.entries(data ?? {})) {
    const { userErrors, ...tokens } = (payload ?? {}) as Tokens & { userErrors?: unknown[] };
    if (tokens.accessToken) await adopt(tokens);
    const ends = field === 'logout' || field === 'deleteAccount';
    if (account && ends && userErrors?.length === 0) forget(account.id);
  }
}

const isUnauthenticated = ({ errors }: Result) =>
  errors?.some(({ extensions }) => extensions?.code === 'UNAUTHENTICATED') ?? false;

const withToken = (headers: Headers, token: string | null) =>
  token ? { ...headers, authorization: `Bearer ${token}` } : headers;

const entry = (headers: Headers, name: string) =>
  Object.entries(headers).find(([key]) => key.toLowerCase() === name)?.[1];

function operationOf({ query, operationName }: Params): OperationDefinitionNode | null {
  try {
    return getOperationAST(parse(query), operationName) ?? null;
  } catch {
    return null; // Let the server say what is wrong with the document.
  }
}

const isRefresh = (operation: OperationDefinitionNode | null) =>
  operation?.selectionSet.selections.some((it) => it.kind === 'Field' && it.name.value === 'refreshSession') ?? false;
