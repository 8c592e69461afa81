// The chat after an absence that is too long to be replayed: the server says `ResyncRequired`, and the window fetches
// anew. What is on the screen is right, what was being written is still there, what waited is sent, and it goes on live.
// Environment: KITH_URL, KITH_CONVERSATION, KITH_READER and KITH_WRITER (usernames), KITH_READER_PASSWORD and
// KITH_WRITER_PASSWORD.
import { base, setting } from '../common.mjs';
import { Chat } from './chat-window.mjs';
import { Person, drive, eventually } from './harness.mjs';
import { Proxy } from './proxy.mjs';

/** More than the 5,000 events that are replayed: so many messages, each edited so often, so many times in one request. */
const MESSAGES = 15;
const EDITS = 340;
const TOGETHER = 10;

const conversation = setting('KITH_CONVERSATION');
const writer = new Person(base(), setting('KITH_WRITER'), setting('KITH_WRITER_PASSWORD'));

await drive(async ({ open }) => {
  const proxy = await Proxy.to(base());
  const before = [];
  for (let n = 1; n <= MESSAGES; n += 1) before.push(await writer.send(conversation, `before ${n}`));

  const page = await open({ hosts: [proxy.host], cuts: true, viewport: { width: 1280, height: 800 } });
  const heard = [];
  page.on('websocket', (socket) => socket.on('framereceived', ({ payload }) => heard.push(String(payload))));
  const chat = new Chat(page, 'reader');
  await chat.logIn(`${proxy.url}/#/c/${conversation}`, setting('KITH_READER'), setting('KITH_READER_PASSWORD'));
  await chat.message(`before ${MESSAGES}`).waitFor();
  // Only who listens can miss something.
  await eventually('the stream to have begun', true, () => heard.some((frame) => frame.includes('CaughtUp')));

  proxy.cut();
  await page.getByText('Not connected').waitFor();
  await chat.write('said in the dark');
  await chat.unsent().getByText('said in the dark').waitFor();
  await chat.words().fill('half a sentence');
  const edit = async ({ id }) => {
    for (let n = 1; n <= EDITS; n += TOGETHER) {
      const edits = Array.from({ length: TOGETHER }, (_, m) => `e${m}: editMessage(input: { messageId: $id, body: "edited ${n + m}" }) { userErrors { code } }`);
      await writer.ask(`mutation($id: ID!) { ${edits.join(' ')} }`, { id });
    }
  };
  await Promise.all(before.map(edit));
  await writer.mutate('deleteMessage', { messageId: before[3].id });
  await writer.send(conversation, 'the last word');
  proxy.heal();

  await chat.message('the last word').waitFor();
  await chat.message('said in the dark').waitFor();
  await eventually('that it was too much to be replayed', true, () => heard.some((frame) => frame.includes('ResyncRequired')));
  await eventually('what is being written', 'half a sentence', () => chat.words().inputValue());
  await eventually('what is not sent', 0, () => chat.unsent().count());
  await writer.send(conversation, 'live again');
  await chat.message('live again').waitFor();
  const expected = (await writer.history(conversation)).map(({ sequence, body }) => `${sequence} ${body ?? 'deleted'}`);
  await eventually('what is on the screen', expected, () => chat.messages());
});
