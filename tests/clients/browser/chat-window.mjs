// How the scripts use the chat: by what is on the screen, found by role and name.

export const PASSWORD = 'tea and a long walk on Sunday';

/** A window of the chat, and what one person does in it. */
export class Chat {
  constructor(page, name) {
    Object.assign(this, { page, name });
  }

  async register(url) {
    const { page, name } = this;
    const username = name.toLowerCase();
    await page.goto(url);
    const form = page.getByRole('form', { name: 'Register' });
    await form.getByLabel('Username').fill(username);
    await form.getByLabel(/^Name/).fill(name);
    await form.getByLabel('Email').fill(`${username}@example.org`);
    await form.getByLabel('Password', { exact: true }).fill(PASSWORD);
    await form.getByRole('button', { name: 'Register' }).click();
    await page.getByRole('navigation', { name: 'Places' }).waitFor();
  }

  async logIn(url, username, password = PASSWORD) {
    const { page } = this;
    await page.goto(url);
    await page.getByRole('tab', { name: 'Log in' }).click();
    await page.getByLabel('Username or email').fill(username);
    await page.getByLabel('Password', { exact: true }).fill(password);
    await page.getByRole('button', { name: 'Log in', exact: true }).click();
    await page.getByRole('navigation', { name: 'Places' }).waitFor();
  }

  place(name) {
    return this.page.getByRole('navigation', { name: 'Places' }).getByRole('link', { name }).click();
  }

  openConversation(name) {
    return this.page.getByRole('row', { name }).click();
  }

  pane(name) {
    return this.page.getByRole('region', { name, exact: true });
  }

  words() {
    return this.page.getByRole('textbox', { name: 'Message' });
  }

  async write(body) {
    await this.words().fill(body);
    await this.words().press('Enter');
  }

  /** A message that the server has. */
  message(body) {
    return this.page.getByRole('log').locator('[data-message]').getByText(body, { exact: true });
  }

  unsent() {
    return this.page.locator('[data-unsent]');
  }

  /** All that the server has, as the screen has it: `1 Hello`. */
  messages() {
    return this.page.getByRole('log').locator('[data-message]').evaluateAll((items) =>
      items.map((item) => `${item.dataset.message} ${item.getAttribute('aria-label').replace(/^.*?\d\d:\d\d: /, '')}`),
    );
  }
}
