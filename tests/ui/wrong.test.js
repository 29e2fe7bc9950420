// Wrong input, act by act: it stays in the form, beside the reason, and nothing is done.
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { api, eventually, launch, logIn, open, publish, test, URL_BASE } from './browser.js';

const QUEUE = 'ui-test-wrong';
const EXCHANGE = 'ui-test-wrong';
const USER_NAME = 'ui-test-wrong';
let browser;
let page;

async function cleanUp() {
  await api('DELETE', `queues/%2F/${QUEUE}`);
  await api('DELETE', `exchanges/%2F/${EXCHANGE}`);
  await api('DELETE', `users/${USER_NAME}`);
  await api('DELETE', 'queues/%2F/ui-test-new');
}

before(async () => {
  browser = await launch();
  await cleanUp();
  await api('PUT', `queues/%2F/${QUEUE}`, { durable: true });
  await api('PUT', `exchanges/%2F/${EXCHANGE}`, { type: 'x-delayed-message', durable: true, arguments: { 'x-delayed-type': 'topic' } });
  await api('PUT', `users/${USER_NAME}`, { password: 'x', tags: '' });
  await publish('amq.default', QUEUE, 'x');
  await api('POST', `exchanges/%2F/${EXCHANGE}/publish`, { properties: { headers: { 'x-delay': 3_600_000 } }, routing_key: 'k', payload: 'x', payload_encoding: 'string' });
  page = await open(browser);
  await logIn(page);
});
after(async () => {
  await cleanUp();
  await browser?.close();
});

const AT_QUEUE = `#/queue/%2F/${QUEUE}`;
const AT_EXCHANGE = `#/exchange/%2F/${EXCHANGE}`;

/** Page, button that opens the form, what is typed, button that sends, words of the reason. */
const CASES = [
  ['declaring a queue with arguments that are none', '#/queues', 'Declare a queue', { Name: 'x', Arguments: 'nonsense' }, 'Declare', 'is not key=value'],
  ['declaring a queue with an argument that is wrong', '#/queues', 'Declare a queue', { Name: 'x', Arguments: 'x-max-length=-1' }, 'Declare', 'x-max-length'],
  ['declaring a queue that is there, differently', '#/queues', 'Declare a queue', { Name: QUEUE, Arguments: 'x-max-length=1' }, 'Declare', 'inequivalent'],
  ['declaring an exchange that is there, as another type', '#/exchanges', 'Declare an exchange', { Name: EXCHANGE }, 'Declare', 'inequivalent'],
  ['declaring an exchange with a reserved name', '#/exchanges', 'Declare an exchange', { Name: 'amq.mine' }, 'Declare', 'amq.'],
  ['publishing headers that are none', AT_QUEUE, 'Publish', { Headers: 'nonsense' }, 'Publish', 'is not key=value'],
  ['publishing base64 that is none', AT_QUEUE, 'Publish', { Body: '?', 'The body is base64': true }, 'Publish', 'base64'],
  ['binding a queue to an exchange that is not there', AT_QUEUE, 'Bind', { Exchange: 'ui-test-none' }, 'Bind', 'There is no such exchange.'],
  ['binding an exchange to a queue that is not there', AT_EXCHANGE, 'Bind', { Name: 'ui-test-none' }, 'Bind', 'There is no such queue.'],
  ['redriving to a queue that is not there', AT_QUEUE, 'Redrive', { 'Where to': 'queue', Queue: 'ui-test-none' }, 'Move messages', 'There is no such queue.'],
  ['redriving to an exchange that routes nowhere', AT_QUEUE, 'Redrive', { 'Where to': 'exchange', Exchange: 'amq.topic', 'Routing key': 'nowhere' }, 'Move messages', 'no queue is bound'],
  ['a policy whose pattern is none', '#/policies', 'New policy', { Name: 'x', 'Pattern of names': '(', Definition: 'max-length=1' }, 'Save', 'pattern'],
  ['a policy with a key that means nothing', '#/policies', 'New policy', { Name: 'x', Definition: 'nonsense=1' }, 'Save', 'nonsense'],
  ['a user whose name is taken', '#/users', 'Add a user', { Name: USER_NAME, Password: 'x' }, 'Add', 'already'],
  ['limits of a virtual host beyond all numbers', '#/vhosts', 'Limits of /', { 'Max queues': '99999999999999999999' }, 'Save', 'max-queues'],
];

for (const [what, hash, opens, fills, sends, words] of CASES) {
  test(`${what} is refused where it was typed`, async () => {
    await page.goto(`${URL_BASE}/${hash}`);
    await page.getByRole('button', { name: opens, exact: typeof opens === 'string' }).first().click();
    const dialog = page.locator('dialog[open]');
    for (const [label, value] of Object.entries(fills)) {
      const field = dialog.getByLabel(label, { exact: true });
      if (value === true) await field.check();
      else if (await field.evaluate((el) => el.tagName === 'SELECT')) await field.selectOption(value);
      else await field.fill(value);
    }
    await dialog.getByRole('button', { name: sends, exact: true }).click();
    await dialog.getByRole('alert').getByText(words).waitFor();
    const [label, value] = Object.entries(fills).find(([, v]) => v !== true);
    assert.equal(await dialog.getByLabel(label, { exact: true }).inputValue(), value);
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'detached' });
  });
}

test('deleting a virtual host needs its name typed', async () => {
  await page.goto(`${URL_BASE}/#/vhosts`);
  await page.getByRole('button', { name: 'Delete /' }).click();
  const dialog = page.locator('dialog[open]');
  await dialog.getByRole('textbox').fill('something else');
  await dialog.getByRole('button', { name: 'Delete' }).click();
  await dialog.getByRole('alert').getByText('Type / to confirm.').waitFor();
  await page.keyboard.press('Escape');
  assert.ok((await api('GET', 'vhosts')).some((v) => v.name === '/'));
});

test('definitions that conflict are shown one by one, and importing them says why not', async () => {
  await page.goto(`${URL_BASE}/#/definitions`);
  const definitions = { queues: [{ vhost: '/', name: QUEUE, durable: true, auto_delete: false, arguments: { 'x-max-length': 5 } }, { vhost: '/', name: 'ui-test-new', durable: true, auto_delete: false, arguments: {} }] };
  await page.getByLabel('Definitions file').setInputFiles({ name: 'clash.json', mimeType: 'application/json', buffer: Buffer.from(JSON.stringify(definitions)) });
  const table = page.getByRole('region', { name: 'What an import would do' });
  await table.getByText('refused').waitFor();
  assert.match(await table.getByRole('row', { name: QUEUE }).textContent(), /x-max-length/);
  await page.getByText('1 change, 0 there already, 1 refused').waitFor();
  await page.getByRole('button', { name: 'Import', exact: true }).click();
  const dialog = page.locator('dialog[open]');
  await dialog.getByRole('button', { name: 'Import' }).click();
  await dialog.getByRole('alert').getByText('x-max-length').waitFor();
  await page.keyboard.press('Escape');
  assert.deepEqual((await api('GET', `queues/%2F/${QUEUE}`)).arguments, {});
  await page.getByLabel('Definitions file').setInputFiles({ name: 'odd.json', mimeType: 'application/json', buffer: Buffer.from('{"queues": 1}') });
  await page.getByRole('alert').waitFor();
});

test('the picture of an exchange has what feeds it, what it feeds, and by which keys', async () => {
  await api('POST', `bindings/%2F/e/${EXCHANGE}/q/${QUEUE}`, { routing_key: 'order.*' });
  await api('POST', `bindings/%2F/e/amq.topic/e/${EXCHANGE}`, { routing_key: 'in.#' });
  await page.goto(`${URL_BASE}/${AT_EXCHANGE}`);
  const picture = page.getByRole('group', { name: 'Bindings' });
  const texts = await eventually('it is drawn', async () => {
    const found = await picture.locator('text').allTextContents();
    return found.length === 5 && found;
  });
  assert.deepEqual(texts.sort(), ['amq.topic', 'in.#', 'order.*', EXCHANGE, QUEUE].sort());
  const x = async (name) => (await picture.locator('a', { hasText: name }).first().boundingBox()).x;
  assert.ok(await x('amq.topic') < await x(EXCHANGE));
  await picture.getByRole('link', { name: QUEUE }).last().click();
  await eventually('it leads there', () => page.url().endsWith(AT_QUEUE));
});

test('a delayed message is not moved beyond all time, nor when it is no longer there; the past means now', async () => {
  const delayed = `exchanges/%2F/${EXCHANGE}/delayed`;
  const [{ id, due }] = (await api('GET', delayed)).items;
  await page.goto(`${URL_BASE}/${AT_EXCHANGE}`);
  const dialog = page.locator('dialog[open]');
  const move = async (when) => {
    await dialog.getByLabel('Due').fill(when);
    await dialog.getByRole('button', { name: 'Reschedule' }).click();
  };
  const reschedule = () => page.getByRole('button', { name: /^Reschedule the message/ }).click();
  await reschedule();
  // Nothing is sent.
  for (const [when, fault] of [['99999-01-01T12:00:00', 'rangeOverflow'], ['', 'valueMissing']]) {
    await move(when);
    assert.equal(await dialog.getByLabel('Due').evaluate((el, what) => el.validity[what], fault), true);
  }
  assert.equal((await api('GET', delayed)).items[0].due, due);
  await api('DELETE', `${delayed}/${id}`);
  await move('2044-01-01T12:00:00');
  await dialog.getByRole('alert').getByText('no delayed message').waitFor();
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'detached' });
  await api('POST', `exchanges/%2F/${EXCHANGE}/publish`, { properties: { headers: { 'x-delay': 3_600_000 } }, routing_key: 'k', payload: 'x', payload_encoding: 'string' });
  await page.reload();
  await reschedule();
  await move('1960-01-01T12:00:00');
  await page.getByText('Message rescheduled.').waitFor();
  await eventually('it is released', async () => (await api('GET', delayed)).total === 0);
});
