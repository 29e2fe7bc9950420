// Names are other people's: whatever they contain is shown as text, everywhere, and breaks nothing.
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import amqp from 'amqplib';
import { api, eventually, examine, launch, logIn, openWithAxe, publish, SIZES, test, URL_BASE } from './browser.js';

const HTML = 'ui-test-<img src=x onerror="window.struck=1"><script>window.struck=1</script>';
const QUOTES = `ui-test-'"\`\${window.struck=1}</title></svg><svg onload=window.struck=1>&amp;\\`;
const RTL = 'ui-test-\u202egnp.exe مرحبا שלום 注文 🐇 /?#%2F';
const LONG = `ui-test-${'x'.repeat(247)}`;
const NAMES = { HTML, QUOTES, RTL, LONG };
/** What turns the direction of text is spelt out. */
const spelt = (name) => name.replace('\u202e', '\\u202e');
const HOST = 'ui-test-<b>host</b>';
const USER_NAME = 'ui-test-<i>user</i>';
const enc = encodeURIComponent;
let browser;
let client;

async function cleanUp() {
  for (const name of Object.values(NAMES)) {
    await api('DELETE', `queues/%2F/${enc(name)}`);
    await api('DELETE', `exchanges/%2F/${enc(name)}`);
    await api('DELETE', `policies/%2F/${enc(name)}`);
    await api('DELETE', `global-parameters/${enc(name)}`);
  }
  await api('DELETE', `vhosts/${enc(HOST)}`);
  await api('DELETE', `users/${enc(USER_NAME)}`);
}

before(async () => {
  browser = await launch();
  await cleanUp();
  await api('PUT', `vhosts/${enc(HOST)}`, { description: HTML });
  await api('PUT', `users/${enc(USER_NAME)}`, { password: 'x', tags: 'management,<b>tag</b>' });
  await api('PUT', `permissions/%2F/${enc(USER_NAME)}`, { configure: '<img src=x onerror=window.struck=1>', write: '.*', read: '.*' });
  client = await amqp.connect(process.env.UI_AMQP, { clientProperties: { connection_name: HTML, product: '<b>product</b>' } });
  const channel = await client.createChannel();
  for (const name of Object.values(NAMES)) {
    await api('PUT', `queues/%2F/${enc(name)}`, { durable: true, arguments: { 'x-dead-letter-exchange': name } });
    await api('PUT', `exchanges/%2F/${enc(name)}`, { type: 'x-delayed-message', durable: true, arguments: { 'x-delayed-type': 'topic' } });
    await api('POST', `bindings/%2F/e/${enc(name)}/q/${enc(name)}`, { routing_key: name });
    await api('PUT', `policies/%2F/${enc(name)}`, { pattern: '^ui-test-none$', 'apply-to': 'queues', definition: { 'dead-letter-exchange': name } });
    await api('PUT', `global-parameters/${enc(name)}`, { value: { [name]: name } });
    await publish('amq.default', name, name);
    channel.publish(name, name, Buffer.from(name), { headers: { 'x-delay': 3_600_000, [HTML]: HTML }, messageId: HTML.slice(0, 60) });
  }
  await channel.consume(HTML, () => {}, { consumerTag: HTML, noAck: false });
});
after(async () => {
  await client?.close();
  await cleanUp();
  await browser?.close();
});

for (const [size, viewport] of Object.entries(SIZES)) {
  test(`${size}: every page shows the oddest names as text, whole, and no more`, async () => {
    const page = await openWithAxe(browser, { viewport });
    await logIn(page);
    const connection = await eventually('the connection is listed', async () => (await api('GET', 'connections')).find((c) => c.user_provided_name === HTML));
    const pages = { overview: '#/overview', queues: '#/queues?name=ui-test-', exchanges: '#/exchanges?name=ui-test-', topology: '#/topology', connections: '#/connections', channels: '#/channels', policies: '#/policies', users: '#/users', vhosts: '#/vhosts', logs: '#/logs', user: `#/user/${enc(USER_NAME)}`, connection: `#/connection/${enc(connection.name)}` };
    for (const [key, name] of Object.entries(NAMES)) {
      pages[`queue ${key}`] = `#/queue/%2F/${enc(name)}`;
      pages[`exchange ${key}`] = `#/exchange/%2F/${enc(name)}`;
    }
    const faults = [];
    for (const [name, hash] of Object.entries(pages)) {
      faults.push(...await examine(page, name, hash));
      const [, key] = name.split(' ');
      if (key) assert.equal(await page.locator('main h1').first().textContent(), spelt(NAMES[key]));
      assert.equal(await page.locator('main img, main script, main svg svg, main b b').count(), 0, `${name} holds what a name brought`);
      if (process.env.UI_SCREENS) await page.screenshot({ path: `${process.env.UI_SCREENS}/names-${name.replace(' ', '-')}-${size}.png`, fullPage: true });
    }
    assert.equal(await page.evaluate(() => window.struck), undefined);
    assert.deepEqual([...faults, ...page.faults], []);
    await page.context().close();
  });
}

test('a message, the question before a deletion, and the title of the page hold the name as it is', async () => {
  const page = await openWithAxe(browser);
  for (const name of [QUOTES, LONG]) {
    await page.goto('about:blank');
    await (name === QUOTES ? logIn(page, `#/queue/%2F/${enc(name)}`) : page.goto(`${URL_BASE}/#/queue/%2F/${enc(name)}`));
    await page.getByRole('button', { name: 'Show messages' }).click();
    assert.equal(await page.locator('.message > pre.payload').first().textContent(), name);
    await eventually('the title holds it', async () => (await page.title()) === `${name} · Leveret`.replace(/\s+/g, ' '));
    await page.getByRole('button', { name: 'Delete' }).click();
    const dialog = page.locator('dialog[open]');
    await dialog.getByRole('textbox').fill(name);
    await dialog.getByRole('button', { name: 'Delete' }).click();
    await page.getByRole('heading', { name: 'Queues', exact: true }).waitFor();
    assert.deepEqual((await api('GET', 'queues/%2F')).filter((q) => q.name === name), []);
  }
  assert.deepEqual([await page.evaluate(() => window.struck), page.faults], [undefined, []]);
  await page.context().close();
});

test('the page runs and loads nothing but its own files', async () => {
  const answer = await fetch(URL_BASE);
  const policy = answer.headers.get('content-security-policy');
  assert.match(policy, /default-src 'none'/);
  assert.match(policy, /script-src 'self'(;|$)/);
  assert.match(policy, /style-src 'self'(;|$)/);
  assert.doesNotMatch(policy, /unsafe|\*|data:|https?:/);
  const page = await openWithAxe(browser);
  const asked = [];
  page.on('request', (r) => asked.push(r.url()));
  await logIn(page, '#/topology');
  await page.locator('svg.graph').waitFor();
  assert.deepEqual(asked.filter((url) => !url.startsWith(URL_BASE) || /password|guest/i.test(url)), []);
  assert.equal(await page.locator('script:not([src])').count(), 0);
  await page.context().close();
});
