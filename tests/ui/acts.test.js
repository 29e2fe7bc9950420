// Each act, from the button to what the broker says afterwards.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, afterEach, before, beforeEach, describe } from 'node:test';
import { api, eventually, launch, logIn, open, publish, test, URL_BASE } from './browser.js';

let browser;
let page;

before(async () => { browser = await launch(); });
after(() => browser?.close());

const QUEUE = 'ui-test-orders';
const EXCHANGE = 'ui-test-events';
const BODY = JSON.stringify({ id: 7, lines: [{ sku: 'a', count: 2 }] });

async function cleanUp() {
  await api('DELETE', `queues/%2F/${QUEUE}`);
  await api('DELETE', `exchanges/%2F/${EXCHANGE}`);
  await api('DELETE', 'queues/%2F/ui-test-dead');
  await api('DELETE', 'queues/%2F/ui-test-nothing');
  await api('DELETE', 'policies/%2F/ui-test-policy');
  await api('DELETE', 'users/ui-test-user');
  await api('DELETE', 'vhosts/ui-test-vhost');
}

describe('acts', () => {
  after(cleanUp);
  beforeEach(async () => {
    await cleanUp();
    page = await open(browser);
    await logIn(page);
  });
  afterEach(() => page.context().close());
  const dialog = () => page.locator('dialog[open]');

  test('a queue is declared, published to, looked into, purged and deleted', async () => {
    await page.goto(`${URL_BASE}/#/queues`);
    await page.getByRole('button', { name: 'Declare a queue' }).click();
    await dialog().getByLabel('Name').fill(QUEUE);
    await dialog().getByLabel('Arguments').fill('x-message-ttl=60000');
    await dialog().getByRole('button', { name: 'Declare' }).click();
    await page.getByText(`Queue ${QUEUE} declared.`).waitFor();
    await page.getByRole('heading', { name: QUEUE, exact: true }).waitFor();
    await page.getByRole('heading', { name: 'Messages', exact: true }).first().waitFor();
    await page.getByText('Messages expire after 1 min in the queue.').waitFor();
    assert.equal((await api('GET', `queues/%2F/${QUEUE}`)).arguments['x-message-ttl'], 60_000);

    await page.getByRole('button', { name: 'Publish' }).click();
    await dialog().getByLabel('Body', { exact: true }).fill(BODY);
    await dialog().getByLabel('Headers').fill('tenant="a"');
    await dialog().getByRole('button', { name: 'Publish' }).click();
    await page.getByText('Published and routed.').waitFor();

    await page.getByRole('button', { name: 'Show messages' }).click();
    await page.locator('.message pre.payload').getByText('"sku": "a"').waitFor();
    await page.getByRole('button', { name: 'Text', exact: true }).click();
    assert.equal(await page.locator('.message > pre.payload').textContent(), BODY);
    await page.getByRole('button', { name: 'Hex' }).click();
    assert.match(await page.locator('.message > pre.payload').textContent(), /^00000000 {2}7b 22 69 64/);

    await eventually('the message is counted', async () => (await api('GET', `queues/%2F/${QUEUE}`)).messages_ready === 1);
    await page.reload();
    await page.getByRole('button', { name: 'Purge' }).click();
    await dialog().getByText(`1 ready message of ${QUEUE}`).waitFor();
    await dialog().getByRole('button', { name: 'Purge' }).click();
    await page.getByText(`${QUEUE} is purged.`).waitFor();
    assert.deepEqual(await api('POST', `queues/%2F/${QUEUE}/get`, { count: 1, ackmode: 'ack_requeue_true', encoding: 'auto' }), []);

    await eventually('the purge is counted', async () => (await api('GET', `queues/%2F/${QUEUE}`)).messages === 0);
    await page.reload();
    await page.getByRole('button', { name: 'Delete' }).click();
    await dialog().getByText(`Deletes ${QUEUE} in /`).waitFor();
    await dialog().getByRole('button', { name: 'Delete' }).click();
    await page.getByText(`${QUEUE} is deleted.`).waitFor();
    assert.deepEqual((await api('GET', 'queues/%2F')).filter((q) => q.name === QUEUE), []);
  });

  test('deleting a queue that holds messages needs its name typed', async () => {
    await api('PUT', `queues/%2F/${QUEUE}`, { durable: true });
    await publish('amq.default', QUEUE, 'x');
    await eventually('the message is counted', async () => (await api('GET', `queues/%2F/${QUEUE}`)).messages === 1);
    await page.goto(`${URL_BASE}/#/queue/%2F/${QUEUE}`);
    await page.getByRole('button', { name: 'Delete' }).click();
    await dialog().getByLabel(`Type ${QUEUE} to confirm`).fill('something else');
    await dialog().getByRole('button', { name: 'Delete' }).click();
    await dialog().getByRole('alert').waitFor();
    await page.keyboard.press('Escape');
    assert.equal((await api('GET', `queues/%2F/${QUEUE}`)).name, QUEUE);
    await page.getByRole('button', { name: 'Delete' }).click();
    await dialog().getByLabel(`Type ${QUEUE} to confirm`).fill(QUEUE);
    await dialog().getByRole('button', { name: 'Delete' }).click();
    await page.getByText(`${QUEUE} is deleted.`).waitFor();
  });

  test('an exchange is declared, bound, drawn, unbound and deleted', async () => {
    await api('PUT', `queues/%2F/${QUEUE}`, { durable: true });
    await page.goto(`${URL_BASE}/#/exchanges`);
    await page.getByRole('button', { name: 'Declare an exchange' }).click();
    await dialog().getByLabel('Name').fill(EXCHANGE);
    await dialog().getByLabel('Type').selectOption('topic');
    await dialog().getByRole('button', { name: 'Declare' }).click();
    await page.getByRole('heading', { name: EXCHANGE, exact: true }).waitFor();
    await page.getByRole('button', { name: 'Bind' }).click();
    await dialog().getByLabel('Name').fill(QUEUE);
    await dialog().getByLabel('Routing key').fill('order.*');
    await dialog().getByRole('button', { name: 'Bind' }).click();
    await page.locator('svg.graph').getByText(QUEUE).first().waitFor({ state: 'attached' });
    await page.getByRole('button', { name: `Unbind ${QUEUE}` }).click();
    await dialog().getByRole('button', { name: 'Unbind' }).click();
    await page.getByText(`Nothing is bound to ${EXCHANGE}`).waitFor();
    await page.getByRole('button', { name: 'Delete' }).click();
    await dialog().getByRole('button', { name: 'Delete' }).click();
    await page.getByText(`${EXCHANGE} is deleted.`).waitFor();
  });

  test('dead letters are redriven to where they came from', async () => {
    await api('PUT', 'queues/%2F/ui-test-dead', { durable: true });
    await api('PUT', `queues/%2F/${QUEUE}`, { durable: true, arguments: { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'ui-test-dead' } });
    for (let i = 0; i < 3; i++) await publish('amq.default', QUEUE, `number ${i}`);
    await api('POST', `queues/%2F/${QUEUE}/get`, { count: 3, ackmode: 'reject_requeue_false', encoding: 'auto' });
    await eventually('dead', async () => (await api('GET', 'queues/%2F/ui-test-dead')).messages_ready === 3);
    await page.goto(`${URL_BASE}/#/queue/%2F/ui-test-dead`);
    await page.getByRole('button', { name: 'Redrive' }).click();
    await dialog().getByRole('button', { name: 'Move messages' }).click();
    await page.getByText('3 messages moved out of ui-test-dead.').waitFor();
    const back = await api('POST', `queues/%2F/${QUEUE}/get`, { count: 9, ackmode: 'ack_requeue_true', encoding: 'auto' });
    assert.deepEqual(back.map((m) => m.payload), ['number 0', 'number 1', 'number 2']);
    await page.getByRole('button', { name: 'Redrive' }).waitFor();
    await publish('amq.default', 'ui-test-dead', 'not a dead letter');
    await page.reload();
    await page.getByRole('button', { name: 'Redrive' }).click();
    await dialog().getByRole('button', { name: 'Move messages' }).click();
    await dialog().getByRole('alert').getByText('nothing says where it came from').waitFor();
    await dialog().getByLabel('Where to').selectOption('queue');
    await dialog().getByLabel('Queue', { exact: true }).fill(QUEUE);
    await dialog().getByRole('button', { name: 'Move messages' }).click();
    await page.getByText('1 message moved out of ui-test-dead.').waitFor();
  });

  test('delayed messages are looked at, rescheduled, released and dropped', async () => {
    await api('PUT', `queues/%2F/${QUEUE}`, { durable: true });
    await api('PUT', `exchanges/%2F/${EXCHANGE}`, { type: 'x-delayed-message', durable: true, arguments: { 'x-delayed-type': 'fanout' } });
    await api('POST', `bindings/%2F/e/${EXCHANGE}/q/${QUEUE}`, { routing_key: '' });
    for (const [i, name] of ['first', 'second', 'third'].entries()) {
      await api('POST', `exchanges/%2F/${EXCHANGE}/publish`, { properties: { delivery_mode: 2, message_id: name, headers: { 'x-delay': (i + 1) * 3_600_000 } }, routing_key: 'k', payload: `{"name":"${name}"}`, payload_encoding: 'string' });
    }
    await page.goto(`${URL_BASE}/#/exchange/%2F/${EXCHANGE}`);
    const rows = page.getByRole('region', { name: 'Delayed messages' }).locator('tbody tr');
    await eventually('all wait', async () => (await rows.count()) === 3);
    const order = async () => (await rows.locator('td:nth-child(5)').allTextContents()).join();
    await eventually('they stand in order', async () => (await order()) === 'first,second,third');
    await rows.first().getByRole('button', { name: 'View' }).click();
    // Before one's eyes, not below the list.
    await dialog().locator('.message pre.payload').getByText('"name": "first"').waitFor();
    await dialog().getByRole('button', { name: 'Close' }).click();
    await rows.first().getByRole('button', { name: 'Reschedule' }).click();
    await dialog().getByLabel('Due').fill('2044-01-01T12:00:00');
    await dialog().getByRole('button', { name: 'Reschedule' }).click();
    await eventually('it is the last', async () => (await order()) === 'second,third,first');
    await rows.first().getByRole('button', { name: 'Release' }).click();
    await dialog().getByRole('button', { name: 'Release' }).click();
    await page.getByText('The message is released.').waitFor();
    const [released] = await api('POST', `queues/%2F/${QUEUE}/get`, { count: 9, ackmode: 'ack_requeue_true', encoding: 'auto' });
    assert.equal(released.properties.message_id, 'second');
    await rows.first().getByRole('button', { name: 'Drop' }).click();
    await dialog().getByRole('button', { name: 'Keep' }).waitFor();
    await dialog().getByRole('button', { name: 'Drop message' }).click();
    await page.getByText('Message dropped.').waitFor();
    await eventually('one is left', async () => (await order()) === 'first');
  });

  test('wrong input stays in the form, with the reason of the server', async () => {
    await page.goto(`${URL_BASE}/#/queues`);
    await page.getByRole('button', { name: 'Declare a queue' }).click();
    await dialog().getByLabel('Name').fill('ui-test-wrong');
    await dialog().getByLabel('Arguments').fill('x-message-ttl=-5');
    await dialog().getByRole('button', { name: 'Declare' }).click();
    await dialog().getByRole('alert').getByText('x-message-ttl').waitFor();
    assert.equal(await dialog().getByLabel('Name').inputValue(), 'ui-test-wrong');
  });

  test('a message that nothing routes is said to be gone', async () => {
    await api('PUT', `exchanges/%2F/${EXCHANGE}`, { type: 'topic', durable: true });
    await page.goto(`${URL_BASE}/#/exchange/%2F/${EXCHANGE}`);
    await page.getByRole('button', { name: 'Publish' }).click();
    await dialog().getByRole('button', { name: 'Publish' }).click();
    await dialog().getByRole('alert').getByText('No binding matches this key; the message was dropped.').waitFor();
  });

  test('a policy is made and deleted', async () => {
    await page.goto(`${URL_BASE}/#/policies`);
    await page.getByRole('button', { name: 'New policy' }).click();
    await dialog().getByLabel('Name', { exact: true }).fill('ui-test-policy');
    await dialog().getByLabel('Pattern of names').fill('^ui-test-nothing');
    await dialog().getByLabel('Definition').fill('message-ttl=60000');
    await dialog().getByRole('button', { name: 'Save' }).click();
    await page.getByRole('button', { name: 'ui-test-policy', exact: true }).waitFor();
    assert.deepEqual((await api('GET', 'policies/%2F/ui-test-policy')).definition, { 'message-ttl': 60_000 });
    await api('PUT', 'queues/%2F/ui-test-nothing', { durable: true });
    await page.goto(`${URL_BASE}/#/queue/%2F/ui-test-nothing`);
    await page.getByText('Messages expire after 1 min in the queue.').waitFor();
    await page.getByText('policy ui-test-policy', { exact: true }).waitFor();
    await page.goto(`${URL_BASE}/#/policies`);
    await page.getByRole('button', { name: 'Delete policy ui-test-policy' }).click();
    await dialog().getByRole('button', { name: 'Delete' }).click();
    await page.getByText('Policy ui-test-policy is deleted.').waitFor();
  });

  test('a user is added, granted, and deleted; a virtual host likewise', async () => {
    await page.goto(`${URL_BASE}/#/users`);
    await page.getByRole('button', { name: 'Add a user' }).click();
    await dialog().getByLabel('Name').fill('ui-test-user');
    await dialog().getByLabel('Password').fill('first-password');
    await dialog().getByLabel('Tags').fill('monitoring');
    await dialog().getByRole('button', { name: 'Add' }).click();
    await page.getByText('has no access to any virtual host yet').waitFor();
    await page.getByLabel('Configure').fill('^mine');
    await page.getByRole('button', { name: 'Grant' }).click();
    await page.getByText('ui-test-user may use /.').waitFor();
    assert.equal((await api('GET', 'permissions/%2F/ui-test-user')).configure, '^mine');
    await page.getByRole('button', { name: 'Delete' }).click();
    await dialog().getByRole('textbox').fill('ui-test-user');
    await dialog().getByRole('button', { name: 'Delete' }).click();
    await page.getByText('User ui-test-user is deleted.').waitFor();

    await page.goto(`${URL_BASE}/#/vhosts`);
    await page.getByRole('button', { name: 'Add a virtual host' }).click();
    await dialog().getByLabel('Name').fill('ui-test-vhost');
    await dialog().getByRole('button', { name: 'Add' }).click();
    await eventually('it is chosen', async () => (await page.locator('select[aria-label="Virtual host"]').inputValue({ timeout: 500 }).catch(() => '')) === 'ui-test-vhost');
    await page.goto(`${URL_BASE}/#/vhosts`);
    // Where lists show several, what is of the same name is told apart.
    await page.getByLabel('Virtual host', { exact: true }).selectOption('');
    await page.goto(`${URL_BASE}/#/exchanges?name=amq.direct`);
    await page.getByRole('row', { name: 'amq.direct in ui-test-vhost' }).waitFor();
    await eventually('both are told', async () => (await page.getByRole('row', { name: /^amq\.direct/ }).count()) === 2);
    await page.goto(`${URL_BASE}/#/vhosts`);
    await page.getByRole('button', { name: 'Delete ui-test-vhost' }).click();
    await dialog().getByRole('textbox').fill('ui-test-vhost');
    await dialog().getByRole('button', { name: 'Delete' }).click();
    await page.getByText('ui-test-vhost is deleted.').waitFor();
  });

  test('definitions are exported, and what an import holds is shown first', async () => {
    await page.goto(`${URL_BASE}/#/definitions`);
    const saved = page.waitForEvent('download');
    await page.getByRole('button', { name: 'Download definitions' }).click();
    const file = await (await saved).path();
    await page.getByLabel('Definitions file').setInputFiles(file);
    await page.getByText('0 changes').waitFor();
    await page.getByRole('button', { name: 'Import', exact: true, disabled: true }).waitFor();
    const definitions = JSON.parse(await readFile(file, 'utf8'));
    definitions.queues.push({ vhost: '/', name: QUEUE, durable: true, auto_delete: false, arguments: {} });
    await page.getByLabel('Definitions file').setInputFiles({ name: 'more.json', mimeType: 'application/json', buffer: Buffer.from(JSON.stringify(definitions)) });
    await page.getByRole('region', { name: 'What an import would do' }).getByText(QUEUE).waitFor();
    assert.deepEqual((await api('GET', 'queues/%2F')).filter((q) => q.name === QUEUE), []);
    await page.getByRole('button', { name: 'Import' }).click();
    await dialog().getByText('1 definition').waitFor();
    await dialog().getByRole('button', { name: 'Import' }).click();
    await page.getByText('more.json is imported.').waitFor();
    assert.equal((await api('GET', `queues/%2F/${QUEUE}`)).durable, true);
    await page.getByLabel('Definitions file').setInputFiles({ name: 'broken.json', mimeType: 'application/json', buffer: Buffer.from('{') });
    await page.getByRole('alert').getByText('broken.json is not JSON.').waitFor();
  });
});

