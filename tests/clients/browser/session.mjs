// The end of a session: another device ends it, another window of the browser does, or the person does. Whoever did not
// do it is told why; what was not sent stays for who logs in again, and goes when they sign out.
// Environment: KITH_URL, KITH_CONVERSATION, KITH_READER and KITH_WRITER (usernames), KITH_READER_PASSWORD and
// KITH_WRITER_PASSWORD.
import { base, setting } from '../common.mjs';
import { Chat } from './chat-window.mjs';
import { Person, drive, eventually } from './harness.mjs';

const url = base();
const conversation = setting('KITH_CONVERSATION');
const [reader, password] = [setting('KITH_READER'), setting('KITH_READER_PASSWORD')];
const writer = new Person(url, setting('KITH_WRITER'), setting('KITH_WRITER_PASSWORD'));

const dialog = (page) => page.getByRole('alertdialog');
const notice = (page) => page.getByText('You were signed out.');
const selected = (page) => page.getByRole('tab', { selected: true });
const sendsNothing = (route) => (route.request().postData()?.includes('SendMessage') ? route.abort() : route.continue());
const hash = (page) => new URL(page.url()).hash;

await drive(async ({ open }) => {
  const hosts = [new URL(url).host];
  const page = await open({ hosts, cuts: true, viewport: { width: 1280, height: 800 } });
  const device = await open({ hosts, viewport: { width: 360, height: 640 } });
  const chat = new Chat(page);
  await chat.logIn(url, reader, password);
  await new Chat(device).logIn(url, reader, password);

  await page.goto(`${url}/#/c/${conversation}`);
  await chat.words().waitFor();
  await page.route('**/graphql', sendsNothing);
  await chat.write('written before the end');
  await chat.unsent().getByText('written before the end').waitFor();

  await new Chat(device).place('Settings');
  await device.getByRole('button', { name: 'Sign out all other devices' }).click();
  await dialog(device).getByRole('button', { name: 'Sign them out' }).click();
  await dialog(device).waitFor({ state: 'detached' });
  await eventually('where the focus is', 'Devices', () => device.evaluate(() => document.activeElement.ariaLabel));
  await eventually('how many devices there are', 1, () => device.getByRole('list', { name: 'Devices' }).getByRole('listitem').count());
  const height = await device.evaluate(() => document.documentElement.scrollHeight);
  if (height > 640) throw new Error(`the settings are ${height} high, and the window is 640`);

  await notice(page).waitFor();
  await eventually('the tab', 'Log in', () => selected(page).innerText());
  await eventually('the username', reader, () => page.getByLabel('Username or email').inputValue());
  await page.unroute('**/graphql');
  const field = page.getByLabel('Password', { exact: true });
  await field.fill('not the password');
  await page.getByRole('button', { name: 'Log in', exact: true }).click();
  await page.getByRole('alert').waitFor();
  await eventually('whether the password has the focus', true, () => field.evaluate((it) => it === document.activeElement));
  await field.fill(password);
  await field.press('Enter');
  const said = async () => (await writer.history(conversation)).map(({ body }) => body);
  await eventually('what was sent', ['written before the end'], said);
  await eventually('where they are again', `#/c/${conversation}`, () => hash(page));

  // Another window of the browser, and somebody else's account beside it.
  const second = await page.context().newPage();
  await new Chat(second).logIn(url, writer.username, writer.password);
  const third = await page.context().newPage();
  await third.goto(url);
  await third.getByRole('button', { name: new RegExp(`^(?!Sign out).*@${reader}$`) }).click();
  await new Chat(third).place('People');
  await page.route('**/graphql', sendsNothing);
  await chat.write('never sent');
  await chat.unsent().getByText('never sent').waitFor();
  await chat.words().fill('hardly begun');
  await chat.place('Settings');
  await page.getByRole('region', { name: 'This window' }).getByRole('button', { name: 'Sign out' }).click();
  await dialog(page).getByRole('button', { name: 'Sign out' }).click();
  await page.getByRole('tab', { name: 'Log in' }).waitFor();
  await notice(third).waitFor();
  await third.getByText('another window of this browser').waitFor();
  if (await notice(page).count()) throw new Error('who signs out is told that they were signed out');
  await eventually('where they are', ['#/', '#/'], () => [hash(page), hash(third)]);
  const kept = () => [localStorage, sessionStorage].flatMap((it) => Object.keys(it)).filter((key) => /^kith:(outbox|draft):/.test(key));
  for (const window of [page, third]) await eventually('what is kept', [], () => window.evaluate(kept));

  // The other account is where it was.
  await second.reload();
  await second.getByRole('navigation', { name: 'Places' }).waitFor();
  await page.getByRole('button', { name: new RegExp(`^(?!Sign out).*@${writer.username}$`) }).click();
  await page.getByRole('navigation', { name: 'Places' }).waitFor();
  await eventually('where the next person is', '#/', () => hash(page));
});
