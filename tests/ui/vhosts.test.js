// Several virtual hosts: what is chosen narrows all that is shown, and goes when it is deleted.
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach } from 'node:test';
import amqp from 'amqplib';
import { api, eventually, launch, logIn, open, PASSWORD, test, URL_BASE, USER } from './browser.js';

const HOST = 'ui-test-host';
const MANAGER = 'ui-test-manager';
let browser;
let client;
let page;

/** A queue that is full, and whose consumer keeps what it took. */
async function stall() {
  client = await amqp.connect(`${process.env.UI_AMQP}/${HOST}`, { clientProperties: { connection_name: 'ui-test-lazy' } });
  const channel = await client.createConfirmChannel();
  await channel.assertExchange('ui-test-x', 'topic', { durable: true });
  await channel.assertQueue('ui-test-stalled', { durable: true });
  await channel.bindQueue('ui-test-stalled', 'ui-test-x', 'stalled');
  for (let i = 0; i < 300; i++) channel.sendToQueue('ui-test-stalled', Buffer.from('x'));
  await channel.waitForConfirms();
  await channel.prefetch(70);
  await channel.consume('ui-test-stalled', () => {}, { consumerTag: 'ui-test-tag' });
}

before(async () => {
  browser = await launch();
  await api('PUT', `vhosts/${HOST}`, {});
  await api('PUT', `users/${MANAGER}`, { password: 'x', tags: 'management' });
  for (const host of ['%2F', HOST]) await api('PUT', `permissions/${host}/${MANAGER}`, { configure: '.*', write: '.*', read: '.*' });
  await stall();
});
after(async () => {
  await client?.close();
  await api('DELETE', `vhosts/${HOST}`);
  await api('DELETE', `users/${MANAGER}`);
  await browser?.close();
});
beforeEach(async () => { page = await open(browser); });
afterEach(() => page.context().close());

const choose = (name) => page.getByRole('combobox', { name: 'Virtual host' }).selectOption(name);
const chart = (words) => page.getByRole('img', { name: words }).waitFor();
const fact = (name) => page.locator('.facts div', { has: page.locator('dt', { hasText: name }) }).locator('dd').first().textContent();

test('a chosen virtual host narrows charts, totals and findings, and says so', async () => {
  await logIn(page);
  await choose(HOST);
  await page.getByText(`of ${HOST}`, { exact: true }).waitFor();
  await chart(/^Messages in queues, now: Ready 230, Unacked 70$/);
  await chart(/^Message rates, now: In 0\/s, Out 0\/s/);
  await eventually('only what is there is counted', async () => (await Promise.all(['Queues', 'Connections', 'Channels', 'Consumers'].map(fact))).join() === '1,1,1,1');
  assert.equal(await page.getByRole('link', { name: 'orders', exact: true }).count(), 0);
  await page.getByText('all virtual hosts, up').waitFor();
  await choose('');
  await page.getByRole('button', { name: '24 h' }).waitFor();
  await eventually('all are counted', async () => Number(await fact('Queues')) > 1);
});

test('a queue whose consumers acknowledge nothing is told, with the client that holds its messages', async () => {
  await logIn(page);
  const status = page.getByLabel('Status');
  await status.getByRole('link', { name: `ui-test-stalled in ${HOST} is stalled` }).waitFor();
  await status.getByText('230 messages waiting, nothing acknowledged for 30 s.').waitFor();
  await status.getByRole('link', { name: 'ui-test-lazy holds 70 (consumer ui-test-tag).' }).click();
  await page.getByRole('heading', { name: 'ui-test-lazy', exact: true }).waitFor();
});

test('who may not see all sees the sum of what is theirs, and whose connections are left out', async () => {
  await logIn(page, '#/overview', MANAGER, 'x');
  // The traffic flows in a virtual host of theirs.
  await chart(/^Message rates, now: In [1-9].*, Out [1-9].*, Acked [1-9]/);
  await page.getByText('of the virtual hosts that you may use').waitFor();
  assert.equal(await fact('Your connections'), '0');
  for (const what of ['connections', 'channels']) {
    await page.goto(`${URL_BASE}/#/${what}`);
    await page.getByRole('heading', { name: 'None of yours' }).waitFor();
  }
  assert.deepEqual(page.faults, []);
});

test('the topology has every virtual host in which something is bound, and shows where messages stand still', async () => {
  await logIn(page, '#/topology');
  for (const name of ['/', HOST]) await page.getByRole('heading', { name, exact: true }).waitFor();
  const there = page.locator('section.card', { has: page.getByRole('heading', { name: HOST, exact: true }) });
  const stalled = there.locator('.node.trouble');
  await stalled.getByText('ui-test-stalled').first().waitFor({ state: 'attached' });
  // No line lies over a label.
  assert.equal(await there.locator('text.edge-label ~ path').count(), 0);
  assert.equal(await there.locator('text.edge-label').textContent(), 'stalled');
  await page.getByLabel('Filter by exchange, queue or key').fill('ui-test-x');
  await eventually('only what matches is drawn', async () => (await page.locator('svg.graph').count()) === 1 && (await page.locator('.node').count()) === 2);
});

test('code to copy names the port that clients are to use, and the virtual host that is shown', async () => {
  await logIn(page, `#/exchange/${HOST}/`);
  const { port } = new URL(process.env.UI_AMQP);
  await page.locator('pre').getByText(`:${port}/${HOST}"`).first().waitFor();
  await page.goto(`${URL_BASE}/#/exchange/%2F/`);
  await page.locator('pre').getByText(`:${port}/%2F"`).first().waitFor();
  // Others are not told where the broker listens.
  const theirs = await open(browser);
  await logIn(theirs, '#/exchange/%2F/', MANAGER, 'x');
  await theirs.locator('pre').getByText(':PORT/%2F"').first().waitFor();
  await theirs.context().close();
});

test('a virtual host that somebody deletes is no longer chosen as soon as it is asked for', async () => {
  await api('PUT', 'vhosts/ui-test-brief', {});
  await logIn(page, '#/queues', USER, PASSWORD);
  await choose('ui-test-brief');
  await page.getByText('No queue yet').waitFor();
  await api('DELETE', 'vhosts/ui-test-brief');
  await page.getByText('The virtual host ui-test-brief no longer exists.').waitFor();
  await page.getByRole('link', { name: 'orders', exact: true }).waitFor();
  assert.equal(await page.getByRole('combobox', { name: 'Virtual host' }).inputValue(), '');
});
