// What the client scripts share: settings from the environment, one way to fail, and the subscription they run.

const seconds = Number(process.env.KITH_TIMEOUT ?? 60);

export function setting(name) {
  const value = process.env[name];
  if (!value) fail(`${name} is not set`);
  return value;
}

export function fail(message, cause) {
  console.error(`failed: ${message}`);
  if (cause !== undefined) console.error(describe(cause));
  process.exit(1);
}

// No script waits for ever: a test that hangs says less than one that fails.
export function limitTime() {
  setTimeout(() => fail(`not done after ${seconds} s (KITH_TIMEOUT)`), seconds * 1000);
}

// Node keeps pipes asynchronous, and process.exit() would drop what was not written yet.
export function finish() {
  process.stdout.write('', () => process.exit(0));
}

export const base = () => setting('KITH_URL').replace(/\/$/, '');

const QUERY = /* GraphQL */ `
  subscription MessageEvents($conversationId: ID!, $after: String) {
    messageEvents(conversationId: $conversationId, after: $after) {
      type
      cursor
      messageEdge {
        cursor
        node {
          id
          sequence
          body
          sender {
            username
          }
        }
      }
    }
  }
`;

// Follows one conversation with either library's client, which share the shape of `subscribe`. Prints each event as a
// JSON line and ends the process after KITH_COUNT of them.
export function follow(client) {
  const count = Number(setting('KITH_COUNT'));
  const variables = { conversationId: setting('KITH_CONVERSATION'), after: process.env.KITH_AFTER || null };
  let received = 0;
  limitTime();
  client.subscribe(
    { query: QUERY, variables },
    {
      next(result) {
        if (result.errors) fail('the subscription answered with errors', result.errors);
        if (received === count) return;
        const event = result.data.messageEvents;
        // Both clients send this very object again after a reconnect, so moving the cursor here is what resumes.
        variables.after = event.cursor;
        console.log(JSON.stringify(event));
        received += 1;
        if (received === count) finish();
      },
      error(error) {
        fail(`the client gave up after ${received} of ${count} events`, error);
      },
      complete() {
        if (received < count) fail(`the server completed the subscription after ${received} of ${count} events`);
      },
    },
  );
}

// `ready` tells the test that it may act; a line on stderr tells its log about the rest.
export function announcer() {
  let announced = false;
  return () => {
    if (announced) return console.error('connected again');
    announced = true;
    console.log('ready');
  };
}

// KITH_RETRY_MS replaces the client's own wait between attempts (1 s, doubling, plus up to 3 s) where a test cuts often.
export function retryWait() {
  const ms = process.env.KITH_RETRY_MS;
  return ms ? () => new Promise((resolve) => setTimeout(resolve, Number(ms))) : undefined;
}

// What the libraries hand out as an error: GraphQL errors, a close event, an error event of `ws`, or an Error.
function describe(error) {
  if (Array.isArray(error)) return JSON.stringify(error);
  if (typeof error?.code === 'number') return `closed with ${error.code} ${error.reason ?? ''}`.trim();
  return error?.cause?.message ?? error?.message ?? error;
}
