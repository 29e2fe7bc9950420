// What is small and in daily use: navigation, pages of a list, zoom, copying, times.
import assert from 'node:assert/strict';
import { after, afterEach, before } from 'node:test';
import { api, eventually, launch, logIn, open, SIZES, test, URL_BASE } from './browser.js';

const QUEUE = 'ui-test-detail';
const COUNT = 30;
const EXCHANGE = 'ui-test-detail';
let browser;
let page;

const each = (act) => Promise.all(Array.from({ length: COUNT }, (_, i) => act(`queues/%2F/${QUEUE}-${String(i).padStart(2, '0')}`)));

before(async () => {
  browser = await launch();
  await each((where) => api('PUT', where, { durable: true }));
  await api('PUT', `exchanges/%2F/${EXCHANGE}`, { type: 'x-delayed-message', durable: true, arguments: { 'x-delayed-type': 'topic' } });
  await api('POST', `bindings/%2F/e/${EXCHANGE}/q/${QUEUE}-00`, { routing_key: 'k' });
  await api('POST', `exchanges/%2F/${EXCHANGE}/publish`, { properties: { headers: { 'x-delay': 3_600_000 } }, routing_key: 'k', payload: 'x', payload_encoding: 'string' });
});
after(async () => {
  await each((where) => api('DELETE', where));
  await Promise.all(['', '-new'].map((end) => api('DELETE', `exchanges/%2F/${EXCHANGE}${end}`)));
  await browser?.close();
});
afterEach(async () => {
  const { faults } = page;
  await page.context().close();
  assert.deepEqual(faults, []);
});

test('in a hand the navigation opens over the page, leads on, and closes', async () => {
  page = await open(browser, { viewport: SIZES.phone });
  await logIn(page);
  const entry = page.getByRole('link', { name: 'Exchanges', exact: true });
  assert.equal(await entry.isVisible(), false);
  await page.getByRole('button', { name: 'Open navigation' }).click();
  await eventually('all of it is there', async () => (await page.locator('nav.nav').boundingBox()).x === 0);
  if (process.env.UI_SCREENS) await page.screenshot({ path: `${process.env.UI_SCREENS}/navigation-light-phone.png` });
  await entry.press('Escape');
  await entry.waitFor({ state: 'hidden' });
  await page.getByRole('button', { name: 'Open navigation' }).click();
  await entry.click();
  await page.getByRole('heading', { name: 'Exchanges', exact: true }).waitFor();
  await entry.waitFor({ state: 'hidden' });
});

test('the navigation folds, stays so after a reload, and its entries keep their names', async () => {
  page = await open(browser);
  await logIn(page);
  const width = async () => (await page.locator('nav.nav').boundingBox()).width;
  const wide = await width();
  await page.getByRole('button', { name: 'Collapse navigation' }).click();
  await eventually('it is narrow', async () => (await width()) < wide / 2);
  await page.reload();
  await page.getByRole('link', { name: 'Queues', exact: true }).click();
  await page.getByRole('heading', { name: 'Queues', exact: true }).waitFor();
  await eventually('it is narrow still', async () => (await width()) < wide / 2);
  await page.getByRole('button', { name: 'Expand navigation' }).click();
  await eventually('it is wide', async () => (await width()) === wide);
});

test('a list goes page by page, the page is in the address, and one that is not there is the first', async () => {
  page = await open(browser);
  await logIn(page, `#/queues?name=${QUEUE}&size=25`);
  const first = page.locator('tbody tr td:first-child').first();
  await first.getByText(`${QUEUE}-00`).waitFor();
  await page.getByText('1 of 2', { exact: true }).waitFor();
  await page.getByRole('button', { name: 'Next' }).click();
  await first.getByText(`${QUEUE}-25`).waitFor();
  assert.match(page.url(), /page=2/);
  await page.reload();
  await first.getByText(`${QUEUE}-25`).waitFor();
  await page.getByLabel('Rows on a page').selectOption('50');
  await first.getByText(`${QUEUE}-00`).waitFor();
  await eventually('all are on one page', async () => (await page.locator('tbody tr').count()) === COUNT);
  await page.goto(`${URL_BASE}/#/queues?name=${QUEUE}&size=25&page=9`);
  await page.getByText('1 of 2', { exact: true }).waitFor();
  await first.getByText(`${QUEUE}-00`).waitFor();
  // The server refused that page, which browsers log.
  page.faults = page.faults.filter((text) => !text.includes('page=9'));
});

test('the topology is zoomed by button, key and wheel, moved, fitted, and narrowed by a search', async () => {
  page = await open(browser);
  await logIn(page, '#/topology');
  const graph = page.locator('svg.graph');
  const view = async () => (await graph.getAttribute('viewBox')).split(' ').map(Number);
  await graph.waitFor();
  await page.getByLabel('Filter by exchange, queue or key').fill(EXCHANGE);
  await eventually('only what matches is drawn', async () => (await graph.locator('.node').count()) === 2);
  await eventually('the search is in the address', () => page.url().includes(`name=${EXCHANGE}`));
  const whole = await view();
  const narrower = async (what, act) => {
    const [, , before_] = await view();
    await act();
    await eventually(what, async () => (await view())[2] < before_);
  };
  await narrower('zoomed by button', () => page.getByRole('button', { name: 'Zoom in' }).click());
  await narrower('zoomed by key', () => graph.press('+'));
  await graph.hover();
  await narrower('zoomed by wheel', () => page.mouse.wheel(0, -100));
  const [x] = await view();
  await page.mouse.down();
  await page.mouse.move(500, 500);
  await page.mouse.up();
  await eventually('moved', async () => (await view())[0] !== x);
  await page.getByRole('button', { name: 'Fit' }).click();
  await eventually('fitted', async () => (await view()).join() === whole.join());
});

test('at a first look all of the overview comes at once: nothing is pushed down', async () => {
  page = await open(browser, { viewport: SIZES.desktop });
  await logIn(page);
  await page.evaluate(() => sessionStorage.clear());
  await page.reload();
  await page.evaluate(() => {
    window.shifted = 0;
    new PerformanceObserver((list) => list.getEntries().forEach((e) => { window.shifted += e.hadRecentInput ? 0 : e.value; })).observe({ type: 'layout-shift', buffered: true });
  });
  await eventually('all is drawn', async () => (await page.locator('.plot canvas').count()) === 2 && (await page.getByText(/^up /).count()) === 1);
  const shifted = await page.evaluate(() => window.shifted);
  assert.ok(shifted < 0.05, `shifted by ${shifted}`);
});

test('declaring starts at the name; an exchange that delays asks how it routes; predeclared ones are out of the way', async () => {
  page = await open(browser);
  await logIn(page, '#/exchanges');
  await page.getByRole('link', { name: '(default)', exact: true }).waitFor();
  assert.equal(await page.getByRole('link', { name: 'amq.topic', exact: true }).count(), 0);
  await page.getByLabel('Show amq.*').check();
  await page.getByRole('link', { name: 'amq.topic', exact: true }).waitFor();
  await page.getByLabel('Show amq.*').uncheck();
  await page.getByLabel('Filter exchanges by name').fill('amq.to');
  await page.getByRole('link', { name: 'amq.topic', exact: true }).waitFor();
  await page.getByRole('button', { name: 'Declare an exchange' }).click();
  const dialog = page.locator('dialog[open]');
  await dialog.waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.name), 'name');
  await dialog.getByLabel('Name').fill(`${EXCHANGE}-new`);
  assert.equal(await dialog.getByLabel('Routes, when due, as').count(), 0);
  await dialog.getByLabel('Type').selectOption('x-delayed-message');
  await dialog.getByLabel('Routes, when due, as').selectOption('fanout');
  await dialog.getByRole('button', { name: 'Declare' }).click();
  await page.getByRole('heading', { name: `${EXCHANGE}-new`, exact: true }).waitFor();
  assert.deepEqual((await api('GET', `exchanges/%2F/${EXCHANGE}-new`)).arguments, { 'x-delayed-type': 'fanout' });
});

test('a thousand messages are looked at in a box of their own; times in them are times', async () => {
  await Promise.all(Array.from({ length: 40 }, () => api('POST', 'exchanges/%2F/amq.default/publish', { properties: { timestamp: 1_700_000_000 }, routing_key: `${QUEUE}-02`, payload: 'x', payload_encoding: 'string' })));
  page = await open(browser, { timezoneId: 'UTC' });
  await logIn(page, `#/queue/%2F/${QUEUE}-02`);
  await page.getByLabel('How many').fill('40');
  await page.getByRole('button', { name: 'Show messages' }).click();
  await page.locator('.message').nth(39).waitFor();
  assert.match(await page.locator('.message').first().textContent(), /Nov 14, 2023, 22:13/);
  const box = page.getByRole('region', { name: 'Messages', exact: true }).last();
  assert.ok((await box.boundingBox()).height < 800);
  await api('DELETE', `queues/%2F/${QUEUE}-02/contents`);
});

test('code is copied in the language that was chosen', async () => {
  page = await open(browser, { permissions: ['clipboard-read', 'clipboard-write'] });
  await logIn(page, `#/queue/%2F/${QUEUE}-01`);
  await page.getByText('Show code').click();
  await page.getByRole('button', { name: 'Rust (lapin)' }).click();
  await page.getByRole('button', { name: 'Copy' }).click();
  await page.getByText('Copied.').waitFor();
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  assert.ok(copied.includes(`basic_consume("${QUEUE}-01".into()`) && copied.includes('amqp://USER:PASSWORD@'), copied);
});

test('times are of the local zone, and of UTC on hover', async () => {
  page = await open(browser, { timezoneId: 'Asia/Tokyo' });
  await logIn(page, `#/exchange/%2F/${EXCHANGE}`);
  const due = page.getByRole('region', { name: 'Delayed messages' }).locator('tbody td').first().locator('span');
  const utc = await due.getAttribute('title');
  assert.match(utc, /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC$/);
  const tokyo = new Date(`${utc.replace(' UTC', 'Z').replace(' ', 'T')}`).toLocaleTimeString('en', { timeZone: 'Asia/Tokyo', hourCycle: 'h23' });
  assert.ok((await due.textContent()).includes(tokyo.slice(0, 5)), `${await due.textContent()} is ${tokyo}`);
  for (const [hash, of] of [['#/logs', '.log time'], ['#/connections', 'td:last-child span[title]']]) {
    await page.goto(`${URL_BASE}/${hash}`);
    assert.match(await page.locator(of).first().getAttribute('title'), /UTC$/, hash);
  }
});
