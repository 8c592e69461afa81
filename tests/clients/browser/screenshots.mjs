// The pictures in docs: the chat, the chat on a phone, and the explorer, as a server shows them that has a small world
// in it. Environment: KITH_URL, KITH_PICTURES (a folder).
import { join } from 'node:path';
import { base, setting } from '../common.mjs';
import { Chat, PASSWORD } from './chat-window.mjs';
import { drive, sayUntilHeard } from './harness.mjs';
import { fill } from './world.mjs';

await drive(async ({ open }) => {
  const url = base();
  const { people, direct } = await fill(url);
  const window = (look) => open({ hosts: [new URL(url).host], reducedMotion: 'reduce', locale: 'en-GB', ...look });
  const take = (page, name) => page.screenshot({ path: join(setting('KITH_PICTURES'), `${name}.png`) });

  // The others are about.
  const others = await window({ viewport: { width: 800, height: 600 } });
  const grace = new Chat(others, 'Grace');
  await grace.logIn(url, 'grace');
  await grace.openConversation('Ada Lovelace');

  const wide = await window({ viewport: { width: 1280, height: 800 }, colorScheme: 'light' });
  const ada = new Chat(wide, 'Ada');
  await ada.logIn(url, 'ada');
  await ada.openConversation('Grace Hopper');
  await ada.message('See you on Sunday?').waitFor();
  await ada.write('Half past nine, at the gate.');
  await ada.message('Half past nine, at the gate.').waitFor();
  // What is looked at is read, a moment later.
  await wide.getByRole('row', { name: 'Grace Hopper' }).getByText('unread').waitFor({ state: 'detached' });
  await people.grace.mutate('setTyping', { conversationId: direct, typing: true }, '');
  await ada.pane('Grace Hopper').getByText('Grace Hopper is typing…').waitFor();
  await take(wide, 'chat');

  const narrow = await window({ viewport: { width: 390, height: 844 }, colorScheme: 'dark', hasTouch: true, isMobile: true, deviceScaleFactor: 2 });
  const phone = new Chat(narrow, 'Katherine');
  await phone.logIn(url, 'katherine');
  await phone.openConversation('Sunday walk');
  await phone.message('Hill it is. I bring tea.').waitFor();
  // No mouse on a phone, whose pointer would bring up what can be done with a message.
  await narrow.mouse.move(0, 0);
  await take(narrow, 'chat-phone');

  const explorer = await window({ viewport: { width: 1280, height: 800 }, colorScheme: 'light' });
  await explorer.goto(`${url}/explorer`);
  await explorer.getByRole('button', { name: 'Sign in' }).click();
  await explorer.getByLabel('Username or email').fill('grace');
  await explorer.getByLabel('Password').fill(PASSWORD);
  await explorer.getByRole('button', { name: 'Log in' }).click();
  await explorer.getByRole('button', { name: '@grace' }).waitFor();
  const filter = explorer.getByRole('searchbox', { name: 'Filter operations' });
  const takeDown = async (name, title) => {
    await filter.fill(name);
    await explorer.locator('[role=option][data-focused]', { hasText: title }).waitFor();
    await explorer.keyboard.press('Enter');
    await explorer.getByRole('button', { name, exact: true }).waitFor();
    await explorer.keyboard.press('Control+Enter');
  };
  await takeDown('Conversations', 'Conversations');
  await explorer.getByRole('region', { name: 'Result Window' }).getByText(direct).first().waitFor();
  await takeDown('MessageEvents', 'Message events');
  await explorer.getByRole('status').getByText('Live').waitFor();
  const heard = explorer.getByRole('region', { name: 'Result Window' }).getByText('I have the map.').first().waitFor();
  await sayUntilHeard(people.ada, direct, 'I have the map.', heard);
  await filter.fill('');
  await filter.blur();
  await take(explorer, 'explorer');
});
