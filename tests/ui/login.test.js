// Logging in and out, and what stays where.
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe } from 'node:test';
import { launch, logIn, open, PASSWORD, test, URL_BASE, USER } from './browser.js';

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

  test('the session survives a reload, ends on log out, and leaves nothing secret to scripts', async () => {
    await logIn(page, '#/queues');
    await page.reload();
    await page.getByRole('heading', { name: 'Queues', exact: true }).waitFor();
    const seen = await page.evaluate(() => JSON.stringify([location.href, { ...localStorage }, { ...sessionStorage }, document.cookie]));
    assert.ok(!seen.includes('Basic') && !seen.includes(`"${PASSWORD}"`) && !seen.includes(btoa(`${USER}:${PASSWORD}`)), seen);
    assert.ok(!seen.includes('leveret_session'), seen);
    const [cookie] = await page.context().cookies(`${URL_BASE}/api/`);
    assert.deepEqual([cookie.httpOnly, cookie.sameSite], [true, 'Strict']);
    await page.getByRole('button', { name: 'Log out' }).click();
    await page.getByRole('button', { name: 'Log in' }).waitFor();
    await page.context().addCookies([cookie]);
    assert.equal((await page.request.get(`${URL_BASE}/api/whoami`)).status(), 401);
  });

  test('a session that the server ended leads back to the form, and on to where one was', async () => {
    await logIn(page, '#/exchanges');
    await page.context().clearCookies();
    await page.goto(`${URL_BASE}/#/queues`);
    await page.getByText('The session has ended').waitFor();
    await page.getByLabel('User').fill(USER);
    await page.getByLabel('Password').fill(PASSWORD);
    await page.getByRole('button', { name: 'Log in' }).click();
    await page.getByRole('heading', { name: 'Queues', exact: true }).waitFor();
  });
});
