// One of playground/examples in a storm: the connection is cut every second and access tokens live for seconds, while
// messages are sent from both sides, edited and deleted. In the end the screen has what the database has.
// Environment: KITH_URL, KITH_EXAMPLE (its folder), KITH_CONVERSATION, KITH_READER and KITH_WRITER (usernames),
// KITH_READER_PASSWORD and KITH_WRITER_PASSWORD.
import { fileURLToPath } from 'node:url';
import { base, setting } from '../common.mjs';
import { Person, drive, eventually, serve } from './harness.mjs';
import { Proxy } from './proxy.mjs';

const N = 100;
const MS = 15_000;

const conversation = setting('KITH_CONVERSATION');
const reader = { username: setting('KITH_READER'), password: setting('KITH_READER_PASSWORD') };
const writer = new Person(base(), setting('KITH_WRITER'), setting('KITH_WRITER_PASSWORD'));

await drive(async ({ open }) => {
  const example = await serve(fileURLToPath(new URL(`../../../playground/examples/${setting('KITH_EXAMPLE')}/dist`, import.meta.url)));
  const proxy = await Proxy.to(base());
  const sent = [];
  const say = async (body) => sent.push(await writer.send(conversation, body));
  for (let n = 1; n <= 50; n += 1) await say(`before ${n}`);

  const page = await open({ hosts: [new URL(example).host, proxy.host], cuts: true });
  const seen = { connections: 0, refreshes: 0 };
  page.on('websocket', () => (seen.connections += 1));
  page.on('request', (request) => (seen.refreshes += /refreshSession/.test(request.postData() ?? '') ? 1 : 0));
  await page.goto(`${example}/?server=${proxy.url}&conversation=${conversation}`);
  await page.getByLabel('Username or email').fill(reader.username);
  await page.getByLabel('Password').fill(reader.password);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByText('before 50').waitFor();

  proxy.startCutting({ every: 1000, dark: 200 });
  const started = Date.now();
  for (let n = 1; n <= N; n += 1) {
    await say(`storm ${n}`);
    if (n % 5 === 0) await writer.mutate('editMessage', { messageId: sent.at(-1 - (n % 7)).id, body: `edited ${n}` });
    if (n % 9 === 0) await writer.mutate('deleteMessage', { messageId: sent.splice(-1 - (n % 4), 1)[0].id });
    if (n % 10 === 0) {
      const words = page.getByLabel('Message', { exact: true });
      await words.fill(`from the page ${n}`);
      await words.press('Enter');
      // React empties the form when the answer is there.
      await eventually('the message to be sent', '', () => words.inputValue());
    }
    // Spread over the storm; the slower the machine, the less there is to wait.
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, started + (n * MS) / N - Date.now())));
  }
  proxy.stopCutting();
  // Else it was no storm.
  if (seen.connections < 10 || seen.refreshes < 2) throw new Error(`only this happened: ${JSON.stringify(seen)}`);

  const older = page.getByRole('button', { name: 'Older messages' });
  const expected = (await writer.history(conversation)).map(({ sequence, body, editedAt, sender }) =>
    `${sequence} ${sender.displayName} ${body ?? 'deleted'}${body !== null && editedAt ? ' edited' : ''}`,
  );
  await eventually('the list on the screen', expected, async () => {
    if (await older.isVisible()) await older.click();
    return page.getByRole('listitem').evaluateAll((items) =>
      items.map((item) => `${item.value} ${item.innerText.trim()}`.replace(/\s+/g, ' ')),
    );
  });
});
