// What people expect of any page: addresses, keys, a server that comes and goes.
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe } from 'node:test';
import { api, eventually, launch, logIn, open, PASSWORD, relay, test, URL_BASE, USER } from './browser.js';

let browser;
let page;

before(async () => { browser = await launch(); });
after(() => browser?.close());

describe('habits', () => {
  before(async () => {
    await api('PUT', 'queues/%2F/ui-test-a', { durable: true });
    await api('PUT', 'queues/%2F/ui-test-b', { durable: true });
  });
  after(async () => {
    await api('DELETE', 'queues/%2F/ui-test-a');
    await api('DELETE', 'queues/%2F/ui-test-b');
    await api('DELETE', 'queues/%2F/ui-test-c');
  });
  beforeEach(async () => {
    page = await open(browser);
    await logIn(page);
  });
  afterEach(() => page.context().close());

  test('filter and sorting are in the address; the back button returns to them', async () => {
    await page.keyboard.press('/');
    await page.getByRole('heading', { name: 'Queues', exact: true }).waitFor();
    await page.getByLabel('Filter queues by name').fill('ui-test-');
    await page.getByRole('link', { name: 'ui-test-a', exact: true }).waitFor();
    await eventually('the filter is in the address', () => /name=ui-test-/.test(page.url()));
    await page.getByRole('button', { name: 'Queue ↑' }).click();
    await eventually('the sorting is in the address', () => /name=ui-test-.*desc=1/.test(page.url()));
    await eventually('sorted by name, downwards', async () => (await page.locator('tbody tr td:first-child').allTextContents()).join().startsWith('ui-test-b'));
    await page.getByRole('link', { name: 'ui-test-b', exact: true }).click();
    await page.getByRole('heading', { name: 'ui-test-b', exact: true }).waitFor();
    await page.goBack();
    await eventually('the filter is as before', async () => (await page.getByLabel('Filter queues by name').inputValue()) === 'ui-test-');
  });

  test('keys: ? shows help, escape closes it, g and a letter go', async () => {
    await page.keyboard.press('?');
    await page.getByRole('heading', { name: 'Keys', exact: true }).waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('heading', { name: 'Keys', exact: true }).waitFor({ state: 'detached' });
    // The second key counts for a second and a half, which a busy browser may not keep.
    await eventually('the keys lead to the exchanges', async () => {
      await page.keyboard.press('g');
      await page.keyboard.press('e');
      return page.getByRole('heading', { name: 'Exchanges', exact: true }).waitFor({ timeout: 2000 }).then(() => true, () => false);
    });
  });

  test('what was typed into a filter does not call back a page that was just left', async () => {
    await page.goto(`${URL_BASE}/#/queues`);
    await page.getByRole('heading', { name: 'Queues', exact: true }).waitFor();
    // The filter's timer comes due when the address has changed and nobody was told yet.
    await page.evaluate(async () => {
      const { amend } = await import(`${location.origin}/lib/route.js`);
      location.hash = '#/definitions';
      amend({ name: 'x' });
    });
    await page.getByRole('heading', { name: 'Definitions', exact: true }).waitFor();
    assert.match(page.url(), /#\/definitions$/);
  });

  test('a page that could not be fetched comes when the server is there again', async () => {
    const wire = await relay();
    const there = await open(browser);
    await logIn(there, '#/queues', USER, PASSWORD, wire.url);
    await there.getByRole('heading', { name: 'Queues', exact: true }).waitFor();
    wire.cut();
    await there.evaluate(() => { location.hash = '#/definitions'; });
    await there.getByText('The server does not answer. Trying again.').waitFor();
    wire.mend();
    await there.getByRole('heading', { name: 'Definitions', exact: true }).waitFor();
    await there.context().close();
    wire.close();
  });

  test('a lost server is said, what was seen stays, and its return is noticed', async () => {
    const wire = await relay();
    const there = await open(browser);
    await logIn(there, '#/queues?name=ui-test-', USER, PASSWORD, wire.url);
    await there.getByRole('link', { name: 'ui-test-a', exact: true }).waitFor();
    wire.cut();
    await there.getByText('The broker does not answer; figures are from').waitFor();
    assert.equal(await there.getByRole('link', { name: 'ui-test-a', exact: true }).count(), 1);
    await api('PUT', 'queues/%2F/ui-test-c', { durable: true });
    wire.mend();
    await there.getByText('The broker does not answer; figures are from').waitFor({ state: 'detached' });
    await there.getByRole('link', { name: 'ui-test-c', exact: true }).waitFor();
    await there.context().close();
    wire.close();
  });

  test('what does not exist is said, with a way back', async () => {
    await page.goto(`${URL_BASE}/#/queue/%2F/ui-test-none`);
    await page.getByText('There is no queue ui-test-none').waitFor();
    await page.goto(`${URL_BASE}/#/nonsense`);
    await page.getByText('There is no page “nonsense”.').waitFor();
  });
});

