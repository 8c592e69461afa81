// The chat of somebody with many conversations and much to read: what is unread is counted, found and only read when it
// was looked at; a list is the same list wherever it is shown; the keyboard opens nothing by passing over it and never
// loses its place; what one person was about to say is not shown to the next.
// Environment: KITH_URL, KITH_CONVERSATION, KITH_READER and KITH_WRITER (usernames), KITH_READER_PASSWORD and
// KITH_WRITER_PASSWORD.
import { base, setting } from '../common.mjs';
import { Chat } from './chat-window.mjs';
import { Person, drive, eventually } from './harness.mjs';

/** More than a page of either. */
const GROUPS = 35;
const UNREAD = 60;

const conversation = setting('KITH_CONVERSATION');
const reader = new Person(base(), setting('KITH_READER'), setting('KITH_READER_PASSWORD'));
const writer = new Person(base(), setting('KITH_WRITER'), setting('KITH_WRITER_PASSWORD'));

await drive(async ({ open }) => {
  const url = base();
  for (let n = 1; n <= UNREAD; n += 1) await writer.send(conversation, `unread ${n}`);
  // Later, so that the conversation is not among the first that are listed.
  for (let n = 1; n <= GROUPS; n += 1) await reader.mutate('createGroup', { name: `Group ${n}` });
  const unread = async () => (await reader.ask('query($id: ID!) { conversation(id: $id) { unreadCount } }', { id: conversation })).conversation.unreadCount;

  const page = await open({ hosts: [new URL(url).host], viewport: { width: 1280, height: 800 } });
  const chat = new Chat(page, 'reader');
  await chat.logIn(url, reader.username, reader.password);
  const rows = page.getByRole('grid', { name: 'Conversations' }).getByRole('row');
  await rows.nth(29).waitFor();
  await eventually('the title', `(${UNREAD}) Kith`, () => page.title());

  // What else asks for conversations does not take from the list.
  await chat.place('People');
  await page.getByRole('tab', { name: /^Find/ }).click();
  await page.getByRole('form', { name: 'Invite by mail' }).getByLabel(/Into a group/).waitFor();
  await rows.nth(29).waitFor();

  // The keyboard passes over conversations without opening them.
  await rows.first().focus();
  for (let n = 0; n < 3; n += 1) await page.keyboard.press('ArrowDown');
  await focusIs(page, rows.nth(3), 'the fourth conversation');
  if (!page.url().includes('#/people')) throw new Error(`the keyboard opened ${page.url()}`);
  await page.keyboard.press('End');
  const row = rows.filter({ hasText: writer.username });
  await row.scrollIntoViewIfNeeded();
  await row.click();

  // More are unread than a page has: it begins where they begin, and they are not read yet.
  await page.getByText('New messages', { exact: true }).waitFor();
  await page.getByRole('button', { name: `${UNREAD} new messages` }).waitFor();
  await chat.message('unread 1').waitFor();
  await eventually('what is unread', UNREAD, unread);
  await page.getByRole('button', { name: `${UNREAD} new messages` }).focus();
  await page.keyboard.press('Enter');
  const last = page.getByRole('log').locator('[data-message]').last();
  await focusIs(page, last, 'the newest message');
  await eventually('what is unread', 0, unread);
  await eventually('the title', 'Kith', () => page.title());

  // From a message to what can be done with it, and back.
  for (const [name, then] of [['React', 'Thumbs up'], ['More', 'Copy text']]) {
    await page.keyboard.press('Tab');
    await focusIs(page, last.getByRole('button', { name: 'React' }), 'the toolbar');
    if (name === 'More') for (const key of ['ArrowRight', 'ArrowRight']) await page.keyboard.press(key);
    await page.keyboard.press('Enter');
    await focusIs(page, page.getByRole(name === 'More' ? 'menuitem' : 'button', { name: then }), then);
    await page.keyboard.press('Escape');
    await focusIs(page, last, `the message, after ${name}`);
  }

  // A reply and its words wait while something else is looked at.
  await last.hover();
  await last.getByRole('button', { name: 'Reply' }).click();
  await chat.words().fill('not for everybody');
  await rows.first().scrollIntoViewIfNeeded();
  // The list notes where it is scrolled to with the next frame.
  await page.evaluate(() => new Promise((next) => requestAnimationFrame(() => requestAnimationFrame(next))));
  await chat.openConversation(`Group ${GROUPS}`);
  await page.getByRole('region', { name: `Group ${GROUPS}`, exact: true }).waitFor();
  await page.goBack();
  await page.getByText(`Replying to ${writer.username}`).waitFor();
  await eventually('what is being written', 'not for everybody', () => chat.words().inputValue());

  // A panel closes by the browser's way back, and the conversation stays.
  await page.getByRole('button', { name: 'About this person' }).click();
  await page.getByRole('dialog', { name: 'Person' }).waitFor();
  await page.goBack();
  await page.getByRole('dialog', { name: 'Person' }).waitFor({ state: 'detached' });
  await chat.pane(writer.username).waitFor();

  // The next person at this window sees nothing of it.
  await chat.place('Settings');
  await page.getByRole('button', { name: 'Switch account' }).click();
  await page.getByRole('tab', { name: 'Log in' }).waitFor();
  await chat.logIn(url, writer.username, writer.password);
  await chat.openConversation(reader.username);
  await chat.message(`unread ${UNREAD}`).waitFor();
  await eventually('what is being written', '', () => chat.words().inputValue());
});

async function focusIs(page, target, what) {
  const focused = () => page.evaluate(() => document.activeElement?.ariaLabel ?? document.activeElement?.innerText?.slice(0, 40) ?? '');
  try {
    await eventually(what, true, () => target.evaluate((element) => element === document.activeElement));
  } catch (error) {
    throw new Error(`${error.message}; it is at "${await focused()}"`);
  }
}
