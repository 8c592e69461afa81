// The chat: two people register, become friends and write to each other, by what is on the screen only. The network of
// one of them breaks in the middle of it, a reload finds what was not sent, and all of it can be done by keyboard.
// Environment: KITH_URL.
import { base } from '../common.mjs';
import { Chat, PASSWORD } from './chat-window.mjs';
import { Person, drive, eventually } from './harness.mjs';
import { Proxy } from './proxy.mjs';

const WIDE = { viewport: { width: 1280, height: 800 } };
const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };

await drive(async ({ open }) => {
  const proxy = await Proxy.to(base());
  const ada = new Chat(await open({ hosts: [proxy.host], cuts: true, ...WIDE }), 'Ada');
  const grace = new Chat(await open({ hosts: [new URL(base()).host], ...PHONE }), 'Grace');
  await Promise.all([ada.register(proxy.url), grace.register(base())]);

  await ada.place('People');
  await ada.page.getByRole('tab', { name: /^Find/ }).click();
  const invite = ada.page.getByRole('form', { name: 'Invite by username' });
  await invite.getByLabel('Username').fill('grace');
  await invite.getByRole('button', { name: 'Send the invite' }).click();
  await grace.place('People');
  await grace.page.getByRole('tab', { name: /^Invites/ }).click();
  await grace.page.getByRole('button', { name: 'Accept the invite of Ada' }).click();
  await grace.place('Chats');
  await Promise.all([ada.openConversation('Grace'), grace.openConversation('Ada')]);
  await Promise.all([ada.pane('Grace').getByText('Online').waitFor(), grace.pane('Ada').getByText('Online').waitFor()]);

  await ada.words().pressSequentially('Hello');
  await grace.pane('Ada').getByText('Ada is typing…').waitFor();
  await ada.words().press('Enter');
  await grace.message('Hello').waitFor();
  await grace.pane('Ada').getByText('Ada is typing…').waitFor({ state: 'detached' });
  await grace.write('Hello, Ada');
  await ada.message('Hello, Ada').waitFor();
  await grace.page.getByText('Read', { exact: true }).waitFor();

  const witness = new Person(base(), 'ada', PASSWORD);
  const agree = async () => {
    const { viewer } = await witness.ask('{ viewer { conversations(first: 1) { nodes { id } } } }');
    const history = await witness.history(viewer.conversations.nodes[0].id);
    const expected = history.map(({ sequence, body }) => `${sequence} ${body}`);
    await eventually('what Ada sees', expected, () => ada.messages());
    await eventually('what Grace sees', expected, () => grace.messages());
    await eventually('what Ada has not sent', 0, () => ada.unsent().count());
    return history.map(({ body }) => body);
  };

  // Cut while a message is on its way, and while others are written.
  const inFlight = ada.write('1 into the dark');
  proxy.cut();
  await inFlight;
  await ada.write('2 into the dark');
  await ada.write('3 into the dark');
  await ada.page.getByText('Waits for the connection').first().waitFor();
  await ada.page.getByRole('status', { name: 'Connection' }).getByText('Not connected').waitFor();
  for (const n of [1, 2, 3]) await grace.write(`${n} while Ada is away`);
  proxy.heal();
  await grace.message('3 into the dark').waitFor();
  await ada.page.getByText('Not connected').waitFor({ state: 'detached' });
  const said = await agree();
  for (const n of [1, 2, 3]) {
    for (const body of [`${n} into the dark`, `${n} while Ada is away`]) {
      const times = said.filter((each) => each === body).length;
      if (times !== 1) throw new Error(`"${body}" is there ${times} times: ${said}`);
    }
  }

  // Only what is asked by HTTP fails, so that the page itself can be loaded again.
  await ada.page.route('**/graphql', (route) => route.abort());
  await ada.write('written before the reload');
  await ada.unsent().getByText('written before the reload').waitFor();
  await ada.page.reload();
  await ada.page.unroute('**/graphql');
  await grace.message('written before the reload').waitFor();
  await agree();

  await byKeyboard(await open({ hosts: [proxy.host], ...WIDE }), proxy.url);
  await grace.message('by keyboard').waitFor();
  await grace.page.getByRole('button', { name: '👍, 1' }).waitFor();
  await agree();
  await beforeTheStream(new Chat(await open({ hosts: [proxy.host], ...WIDE }), 'Ada'), proxy.url, grace);
  await agree();
});

/** What happens while a window has loaded what it shows and does not hear yet is shown when it hears. */
async function beforeTheStream(late, url, grace) {
  let isHearing = false;
  await late.page.routeWebSocket(/\/graphql\/ws/, (socket) => (isHearing ? socket.connectToServer() : socket.close({ code: 1013 })));
  await late.logIn(url, 'ada');
  await late.openConversation('Grace');
  await late.message('by keyboard').waitFor();
  await grace.write('before it hears');
  await grace.message('before it hears').waitFor();
  isHearing = true;
  // It waits for its next try, unless the network is said to be back.
  await late.page.evaluate(() => dispatchEvent(new Event('online')));
  await late.message('before it hears').waitFor();
}

/** Signs in, opens a conversation, sends and reacts, without a mouse. */
async function byKeyboard(page, url) {
  const { keyboard } = page;
  const to = (target, key = 'Tab') => walk(page, target, key);
  await page.goto(url);
  await to(page.getByRole('tab', { name: 'Register' }));
  await keyboard.press('ArrowRight');
  await to(page.getByLabel('Username or email'));
  await keyboard.type('ada');
  await to(page.getByLabel('Password', { exact: true }));
  await keyboard.type(PASSWORD);
  await keyboard.press('Enter');
  const row = page.getByRole('row', { name: 'Grace' });
  await row.waitFor();
  await to(row);
  await keyboard.press('Enter');
  const words = page.getByRole('textbox', { name: 'Message' });
  await words.waitFor();
  await to(words);
  await keyboard.type('by keyboard');
  await keyboard.press('Enter');
  const message = page.getByRole('log').locator('[data-message]', { hasText: 'by keyboard' });
  await message.waitFor();
  // The log is one stop, where one was before; from there the keys lead on.
  await to(page.getByRole('log').locator('[data-message][tabindex="0"]'), 'Shift+Tab');
  await to(message, 'End');
  await to(message.getByRole('button', { name: 'React' }));
  await keyboard.press('Enter');
  await to(page.getByRole('button', { name: 'Thumbs up' }));
  await keyboard.press('Enter');
  await message.getByRole('button', { name: '👍, 1' }).waitFor();
}

/** Presses a key until the target has the focus. */
async function walk(page, target, key) {
  const path = [];
  while (path.length < 60) {
    if (await target.evaluate((element) => element === document.activeElement)) return;
    await page.keyboard.press(key);
    path.push(await page.evaluate(() => document.activeElement.ariaLabel ?? document.activeElement.innerText.slice(0, 20)));
  }
  throw new Error(`${key} does not lead to ${target}, but to ${JSON.stringify(path)}`);
}
