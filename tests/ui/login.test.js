// Logging in and out, and what stays where.
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { launch, logIn, open, PASSWORD, URL_BASE, USER } from './browser.js';

let browser;
let page;

before(async () => { browser = await launch(); });
after(() => browser?.close());

describe('login', () => {
  beforeEach(async () => { page = await open(browser); });
  afterEach(() => page.context().close());

  test('a wrong password is refused with a reason, beside the form', async () => {
    await page.goto(URL_BASE);
    await page.getByLabel('User').fill(USER);
    await page.getByLabel('Password').fill('wrong');
    await page.getByRole('button', { name: 'Log in' }).click();
    await page.getByRole('alert').getByText('wrong name or password').waitFor();
  });

  test('the session survives a reload, ends on log out, and leaves no password in address or local storage', async () => {
    await logIn(page, '#/queues');
    await page.reload();
    await page.getByRole('heading', { name: 'Queues' }).waitFor();
    const { url, local, keys } = await page.evaluate(() => ({ url: location.href, local: JSON.stringify(localStorage), keys: Object.keys(sessionStorage) }));
    assert.ok(!url.includes('guest:') && !url.includes('password'), url);
    assert.ok(!local.includes('Basic') && !local.includes(PASSWORD), local);
    assert.deepEqual(keys, ['leveret.authorization']);
    await page.getByRole('button', { name: 'Log out' }).click();
    await page.getByRole('button', { name: 'Log in' }).waitFor();
    assert.equal(await page.evaluate(() => sessionStorage.length), 0);
  });
});

