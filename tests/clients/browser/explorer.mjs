// The explorer: somebody signs in, runs a query, and listens to a conversation, over a cut too; by keyboard where it
// matters; and it is accessible, light and dark, wide and narrow.
// Environment: KITH_URL, KITH_CONVERSATION, KITH_READER and KITH_WRITER (usernames), KITH_READER_PASSWORD and
// KITH_WRITER_PASSWORD.
import { base, setting } from '../common.mjs';
import { Person, drive, isAccessible, sayUntilHeard } from './harness.mjs';
import { Proxy } from './proxy.mjs';

const conversation = setting('KITH_CONVERSATION');
const reader = { username: setting('KITH_READER'), password: setting('KITH_READER_PASSWORD') };
const writer = new Person(base(), setting('KITH_WRITER'), setting('KITH_WRITER_PASSWORD'));

await drive(async ({ open }) => {
  const proxy = await Proxy.to(base());
  const window = (options) => open({ hosts: [proxy.host], cuts: true, ...options });
  const page = await window({ viewport: { width: 1280, height: 800 }, colorScheme: 'light' });
  await page.goto(`${proxy.url}/explorer`);

  await page.getByRole('button', { name: 'Sign in' }).click();
  await isAccessible(page, 'signing in to the explorer');
  await page.getByLabel('Username or email').fill(reader.username);
  await page.getByLabel('Password').fill(reader.password);
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.getByRole('button', { name: `@${reader.username}` }).waitFor();

  // By keyboard: the filter, Enter for the first that it leaves; then the editor has the focus, and its shortcut runs it.
  const take = async (name, title) => {
    await page.getByRole('searchbox', { name: 'Filter operations' }).fill(name);
    await page.locator('[role=option][data-focused]', { hasText: title }).waitFor();
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name, exact: true }).waitFor();
    await page.keyboard.press('Control+Enter');
  };
  const result = page.getByRole('region', { name: 'Result Window' });
  const shows = (words) => result.getByText(words).first().waitFor();
  const status = page.getByRole('status');

  await take('Conversations', 'Conversations');
  await shows(conversation);

  await take('MessageEvents', 'Message events');
  await status.getByText('Live').waitFor();
  await sayUntilHeard(writer, conversation, 'while you listen', shows('while you listen'));
  proxy.cut();
  await status.getByText('Connecting again').waitFor();
  await writer.send(conversation, 'while you were away');
  proxy.heal();
  await shows('while you were away');
  await isAccessible(page, 'the explorer, wide and light');

  // What is heard as one person is not for the next.
  await take('Events', 'Events');
  await status.getByText('Live').waitFor();
  await page.getByRole('button', { name: `@${reader.username}` }).click();
  await page.getByRole('button', { name: 'Ask as nobody' }).click();
  await status.getByText('You ask as nobody now.').waitFor();

  const dark = await window({ viewport: { width: 390, height: 844 }, colorScheme: 'dark' });
  await dark.goto(`${proxy.url}/explorer`);
  await dark.getByRole('button', { name: 'Sign in' }).waitFor();
  await isAccessible(dark, 'the explorer, narrow and dark');
});
