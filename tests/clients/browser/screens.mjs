// Every screen of the chat, light and dark, wide and narrow: nothing serious is wrong with its accessibility.
// Environment: KITH_URL.
import { base } from '../common.mjs';
import { Chat } from './chat-window.mjs';
import { drive, faultsOfAccessibility } from './harness.mjs';
import { fill } from './world.mjs';

const LOOKS = [
  { colorScheme: 'light', viewport: { width: 1280, height: 800 } },
  { colorScheme: 'dark', viewport: { width: 1280, height: 800 } },
  { colorScheme: 'light', viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true },
  { colorScheme: 'dark', viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true },
];

await drive(async ({ open }) => {
  const url = base();
  const { direct, group, code } = await fill(url);
  // All of them, because one alone tells little of what there is to mend.
  const faults = [];
  for (const looks of LOOKS) {
    // What moves is see-through on its way, and a still picture of that is no fault.
    const page = await open({ hosts: [new URL(url).host], reducedMotion: 'reduce', ...looks });
    const look = async (what) => {
      for (const fault of await faultsOfAccessibility(page)) {
        faults.push(`${what} (${looks.colorScheme}, ${looks.viewport.width} wide): ${fault}`);
      }
    };
    const see = async (what, path, ...shown) => {
      await page.goto(`${url}/${path}`);
      for (const locator of shown) await locator.filter({ visible: true }).first().waitFor();
      await look(what);
    };
    const text = (words) => page.getByText(words);
    const heading = (name) => page.getByRole('heading', { name });

    await see('registering', '', page.getByRole('form', { name: 'Register' }));
    await see('an invite link, signed out', `join/${code}`, page.getByRole('main'));
    await see('a new password', 'reset-password?token=none', page.getByLabel('New password'));
    await see('an address that cannot be verified', 'verify-email?token=none', page.getByRole('main'));
    await see('an invite by mail', 'invite?token=none', page.getByRole('main'));

    await see('logging in', '', page.getByRole('tab', { name: 'Log in' }));
    await new Chat(page).logIn(url, 'ada');

    await see('the conversations', '', text('See you on Sunday?'));
    await see('a conversation', `#/c/${direct}`, text('It is only bookkeeping. But yes.'));
    await page.getByRole('button', { name: 'About this person' }).click();
    await page.getByRole('dialog').waitFor();
    await look('a person');
    await see('a group', `#/c/${group}`, text('Hill it is. I bring tea.'));
    await page.getByRole('button', { name: 'About this group' }).click();
    await page.getByRole('dialog').waitFor();
    await look('what a group is');
    await see('friends', '#/people/friends', text('Katherine Johnson'));
    await see('invites', '#/people/invites', text('Your notes on the engine are still the best.'));
    await see('finding people', '#/people/find', page.getByRole('form', { name: 'Invite by username' }));
    await see('blocked people', '#/people/blocked', heading('People'));
    await see('the search', '#/search', page.getByRole('searchbox'));
    await see('the settings', '#/settings', heading('Settings'));
    await see('the preview of a group, signed in', `join/${code}`, text('Sunday walk'));
    await page.context().close();
  }
  if (faults.length) throw new Error(`faults of accessibility:\n${faults.join('\n')}`);
});
