// How the page talks to the server: queries and mutations by POST, subscriptions by graphql-transport-ws.
// Our own rather than the toolkit's: that one asks for multipart answers and cannot resume a subscription.
import { createClient } from 'graphql-ws';
import { getOperationAST, parse } from 'graphql';
import { learnFrom, session } from './session.js';

const httpUrl = new URL('graphql', document.baseURI);
const wsUrl = new URL('graphql/ws', document.baseURI);
wsUrl.protocol = wsUrl.protocol === 'https:' ? 'wss:' : 'ws:';

// How many events the response pane keeps.
const KEPT_EVENTS = 50;

export function fetcher(params, options = {}) {
  const introspecting = params.operationName === 'IntrospectionQuery';
  // The schema is the same for everybody, and a stale token in the Headers pane must not hide it.
  const headers = introspecting ? {} : withSession(options.headers);
  if (operationOf(params) === 'subscription') return subscribe(params, headers);
  return post(params, headers);
}

async function post(params, headers) {
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
  let result;
  try {
    result = JSON.parse(text);
  } catch {
    // A proxy's error page, say. Show it rather than a parser's complaint about it.
    throw new Error(`${response.status} ${response.statusText}: ${text.slice(0, 500)}`);
  }
  learnFrom(result);
  return result;
}

// An async iterable of what the response pane shows: the events so far, newest first. The pane is replaced at each
// step, so that showing only the last event would lose all but one of a quick burst.
async function* subscribe(params, headers) {
  const authorization = entry(headers, 'authorization');
  const client = createClient({
    url: wsUrl.href,
    connectionParams: authorization ? { authorization } : {},
    retryAttempts: Infinity,
    // The default gives up as soon as a connection is refused, as it is while the server restarts.
    shouldRetry: () => true,
  });
  // The client sends this very object again after a reconnect: moving `after` here is what resumes.
  const variables = { ...params.variables };
  const resumes = declares(params, 'after');
  let received = 0;
  const newestFirst = [];
  try {
    for await (const result of client.iterate({ ...params, variables })) {
      const cursor = Object.values(result.data ?? {})[0]?.cursor;
      if (resumes && cursor) variables.after = cursor;
      received += 1;
      newestFirst.unshift(result);
      newestFirst.length = Math.min(newestFirst.length, KEPT_EVENTS);
      yield { received, newestFirst };
    }
  } catch (error) {
    throw readable(error);
  } finally {
    client.dispose();
  }
}

function withSession(headers = {}) {
  if (entry(headers, 'authorization') || !session()) return headers;
  return { ...headers, authorization: `Bearer ${session().token}` };
}

function entry(headers, name) {
  return Object.entries(headers).find(([key]) => key.toLowerCase() === name)?.[1];
}

function operation(params) {
  try {
    return getOperationAST(parse(params.query), params.operationName);
  } catch {
    return null; // Let the server say what is wrong with the document.
  }
}

const operationOf = (params) => operation(params)?.operation;

const declares = (params, name) =>
  operation(params)?.variableDefinitions?.some(({ variable }) => variable.name.value === name) ?? false;

function readable(error) {
  if (Array.isArray(error)) return { errors: error };
  if (typeof error?.code === 'number') return new Error(`The socket was closed with ${error.code} ${error.reason}`.trim());
  return error;
}
