// Connections and channels: what is said of them, and how one is closed.
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import amqp from 'amqplib';
import { api, eventually, examine, launch, logIn, openWithAxe, SCHEMES, SIZES, test } from './browser.js';

const NAME = 'ui-test-client';
const QUEUE = 'ui-test-client-queue';
let browser;
let client;

const mine = async () => (await api('GET', 'connections')).filter((c) => c.user_provided_name === NAME);

async function connect() {
  client = await amqp.connect(process.env.UI_AMQP, { clientProperties: { connection_name: NAME } });
  client.on('error', () => {});
  const channel = await client.createConfirmChannel();
  channel.on('error', () => {});
  await channel.assertQueue(QUEUE, { durable: true });
  await channel.prefetch(7);
  await channel.consume(QUEUE, () => {});
  // The one before may be listed a moment longer than its client knows it.
  return eventually('the broker lists this connection alone', async () => {
    const [one, ...more] = await mine();
    return more.length === 0 && one;
  });
}

before(async () => { browser = await launch(); });
after(async () => {
  await client?.close().catch(() => {});
  await api('DELETE', `queues/%2F/${QUEUE}`);
  await browser?.close();
});

test('a connection tells from where, since when and what it does; light and dark, on a desk and in a hand', async () => {
  const { name } = await connect();
  const hash = `#/connection/${encodeURIComponent(name)}`;
  const page = await openWithAxe(browser);
  await logIn(page, hash);
  await page.locator('.plot canvas').waitFor();
  for (const colorScheme of SCHEMES) {
    for (const [size, viewport] of Object.entries(SIZES)) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize(viewport);
      assert.deepEqual([...await examine(page, 'connection', hash), ...page.faults], []);
      await page.getByRole('heading', { name: NAME, exact: true }).waitFor();
      await page.getByText('AMQP 0-9-1').waitFor();
      const row = page.getByRole('region', { name: 'Channels' }).locator('tbody tr');
      await eventually('its channel is there', async () => /^Channel 1.*confirms/.test(await row.first().textContent()));
      if (process.env.UI_SCREENS) await page.screenshot({ path: `${process.env.UI_SCREENS}/connection-${colorScheme}-${size}.png`, fullPage: true });
    }
  }
  await page.context().close();
  await client.close();
});

test('a channel is listed with its prefetch, and leads to its connection', async () => {
  const { name } = await connect();
  const page = await openWithAxe(browser);
  await logIn(page, `#/channels?name=${encodeURIComponent(name)}`);
  const row = page.locator('tbody tr').first();
  await row.getByText('confirms').waitFor();
  await eventually('its prefetch is told', async () => (await row.locator('td').nth(3).textContent()) === '7');
  await row.getByRole('link').click();
  await page.getByRole('heading', { name: NAME, exact: true }).waitFor();
  await page.context().close();
  await client.close();
});

test('connections and channels are found by what the client calls itself, by address and by user, and sorted by what is shown', async () => {
  const { name } = await connect();
  const page = await openWithAxe(browser);
  await logIn(page, '#/connections');
  const titles = page.locator('tbody td:first-child');
  const shown = await eventually('all are there', async () => {
    const all = await titles.allTextContents();
    return all.includes(NAME) && all.length > 3 && all;
  });
  assert.deepEqual(shown, [...shown].sort());
  for (const [what, other] of [['connections', NAME], ['channels', name]]) {
    await page.evaluate((h) => { location.hash = h; }, `#/${what}`);
    const filter = page.getByLabel(`Filter ${what} by name or user`);
    for (const text of [NAME.toUpperCase(), name]) {
      await filter.fill(text);
      await eventually(`${text} is the only one of the ${what}`, async () => (await titles.count()) === 1 && (await titles.first().textContent()).includes(other));
    }
    await filter.fill('guest');
    await eventually('all are of this user', async () => (await titles.count()) > 3);
    await filter.fill('nobody at all');
    await page.getByText('Nothing matches “nobody at all”').waitFor();
  }
  await page.context().close();
  await client.close();
});

test('a connection is closed, the client hears why, and the page leads back to the list', async () => {
  const { name } = await connect();
  const heard = new Promise((done) => { client.on('close', (e) => done(String(e))); });
  const page = await openWithAxe(browser);
  await logIn(page, `#/connection/${encodeURIComponent(name)}`);
  await page.getByRole('button', { name: 'Close connection' }).click();
  const dialog = page.locator('dialog[open]');
  await dialog.getByText('with 1 channel').waitFor();
  await dialog.getByLabel('Reason').fill('out for lunch');
  await dialog.getByRole('button', { name: 'Close connection' }).click();
  await page.getByText(`${NAME} is closed.`).waitFor();
  await page.getByRole('heading', { name: 'Connections', exact: true }).waitFor();
  assert.match(await heard, /out for lunch/);
  await page.goto(`${page.url().split('#')[0]}#/connection/${encodeURIComponent(name)}`);
  await page.getByText('This connection is closed.').waitFor();
  await page.context().close();
});
