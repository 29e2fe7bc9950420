// Who may do what, and how much of it: topic permissions, limits, operators' policies, parameters.
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach } from 'node:test';
import { api, eventually, launch, logIn, open, test, URL_BASE } from './browser.js';

const USER_NAME = 'ui-test-ruled';
const VHOST = 'ui-test-ruled';
const POLICY = 'ui-test-operator';
const PARAMETER = 'ui-test-parameter';
let browser;
let page;

async function cleanUp() {
  await api('DELETE', `users/${USER_NAME}`);
  await api('DELETE', `vhosts/${VHOST}`);
  await api('DELETE', `operator-policies/%2F/${POLICY}`);
  await api('DELETE', 'queues/%2F/ui-test-ruled');
  await api('DELETE', `global-parameters/${PARAMETER}`);
}

before(async () => { browser = await launch(); });
after(async () => {
  await cleanUp();
  await browser?.close();
});
beforeEach(async () => {
  await cleanUp();
  await api('PUT', `users/${USER_NAME}`, { password: 'x', tags: '' });
  await api('PUT', `vhosts/${VHOST}`, {});
  page = await open(browser);
  await logIn(page);
});
afterEach(() => page.context().close());
const dialog = () => page.locator('dialog[open]');
const card = (title) => page.locator('section.card', { has: page.getByRole('heading', { name: title, exact: true }) });

test('routing keys are restricted by exchange, and the restriction is lifted', async () => {
  await page.goto(`${URL_BASE}/#/user/${USER_NAME}`);
  const topics = card('Topic permissions');
  await topics.getByText('None: all routing keys.').waitFor();
  await topics.getByLabel('Publish with').fill('(');
  await topics.getByRole('button', { name: 'Restrict' }).click();
  await topics.getByRole('alert').waitFor();
  await topics.getByLabel('Publish with').fill('^{username}\\.');
  await topics.getByRole('button', { name: 'Restrict' }).click();
  await page.getByText(`Routing keys of ${USER_NAME} on amq.topic are restricted.`).waitFor();
  const [set] = await api('GET', `topic-permissions/%2F/${USER_NAME}`);
  assert.deepEqual([set.exchange, set.write, set.read], ['amq.topic', '^{username}\\.', '.*']);
  await topics.locator('tbody').getByText('^{username}\\.').waitFor();
  await topics.getByRole('button', { name: 'Lift the restriction on amq.topic' }).click();
  await dialog().getByRole('button', { name: 'Lift' }).click();
  await topics.getByText('None: all routing keys.').waitFor();
});

test('a permission is given and revoked', async () => {
  await page.goto(`${URL_BASE}/#/user/${USER_NAME}`);
  const rights = card('Permissions');
  await rights.getByLabel('Virtual host').selectOption(VHOST);
  await rights.getByRole('button', { name: 'Grant' }).click();
  await page.getByText(`${USER_NAME} may use ${VHOST}.`).waitFor();
  await rights.getByRole('button', { name: `Revoke ${VHOST}` }).click();
  await dialog().getByRole('button', { name: 'Revoke' }).click();
  await page.getByText(`${USER_NAME} may no longer use ${VHOST}.`).waitFor();
  assert.deepEqual(await api('GET', `users/${USER_NAME}/permissions`), []);
});

test('limits of a user are set and taken away', async () => {
  await page.goto(`${URL_BASE}/#/user/${USER_NAME}`);
  const limits = card('Limits');
  await limits.getByLabel('Max connections').fill('3');
  await limits.getByRole('button', { name: 'Set limits' }).click();
  await page.getByText(`Limits of ${USER_NAME} are set.`).waitFor();
  assert.deepEqual((await api('GET', `user-limits/${USER_NAME}`))[0].value, { 'max-connections': 3 });
  await eventually('the form shows it', async () => (await limits.getByLabel('Max connections').inputValue()) === '3');
  await limits.getByLabel('Max connections').fill('');
  await limits.getByRole('button', { name: 'Set limits' }).click();
  await eventually('it is gone', async () => (await api('GET', `user-limits/${USER_NAME}`)).length === 0);
});

test('limits of a virtual host are set, shown, and taken away', async () => {
  await page.goto(`${URL_BASE}/#/vhosts`);
  await page.getByRole('button', { name: `Limits of ${VHOST}`, exact: true }).click();
  await dialog().getByLabel('Max queues').fill('5');
  await dialog().getByRole('button', { name: 'Save' }).click();
  await page.getByRole('row', { name: VHOST }).getByText('max-queues 5').waitFor();
  await page.getByRole('button', { name: `Limits of ${VHOST}`, exact: true }).click();
  assert.equal(await dialog().getByLabel('Max queues').inputValue(), '5');
  await dialog().getByLabel('Max queues').fill('');
  await dialog().getByRole('button', { name: 'Save' }).click();
  await eventually('it is gone', async () => (await api('GET', `vhost-limits/${VHOST}`)).length === 0);
});

test('an operator policy bounds what a queue asks for; its wrong input stays in the form', async () => {
  await api('PUT', 'queues/%2F/ui-test-ruled', { durable: true, arguments: { 'x-max-length': 1000 } });
  await page.goto(`${URL_BASE}/#/policies`);
  await page.getByRole('button', { name: 'New operator policy' }).click();
  await dialog().getByLabel('Name', { exact: true }).fill(POLICY);
  await dialog().getByLabel('Pattern of names').fill('^ui-test-ruled$');
  await dialog().getByLabel('Definition').fill('dead-letter-exchange=x');
  await dialog().getByRole('button', { name: 'Save' }).click();
  await dialog().getByRole('alert').getByText('dead-letter-exchange').waitFor();
  await dialog().getByLabel('Definition').fill('max-length=10');
  await dialog().getByRole('button', { name: 'Save' }).click();
  await page.getByText(`Operator policy ${POLICY} is set.`).waitFor();
  await page.goto(`${URL_BASE}/#/queue/%2F/ui-test-ruled`);
  await page.getByText('Holds at most 10 ready messages.').waitFor();
  await page.getByText(`operator policy ${POLICY}`, { exact: true }).waitFor();
  await page.goto(`${URL_BASE}/#/policies`);
  await page.getByRole('button', { name: `Delete operator policy ${POLICY}` }).click();
  await dialog().getByRole('button', { name: 'Delete' }).click();
  await page.getByText(`Operator policy ${POLICY} is deleted.`).waitFor();
});

test('a global parameter is set, changed and deleted; what is no JSON stays in the form', async () => {
  await page.goto(`${URL_BASE}/#/policies`);
  await page.getByRole('button', { name: 'New global parameter' }).click();
  await dialog().getByLabel('Name', { exact: true }).fill(PARAMETER);
  await dialog().getByLabel('Value').fill('{"team": ');
  await dialog().getByRole('button', { name: 'Save' }).click();
  await dialog().getByRole('alert').getByText('Not valid JSON').waitFor();
  assert.equal(await dialog().getByLabel('Value').inputValue(), '{"team": ');
  await dialog().getByLabel('Value').fill('{"team": "orders"}');
  await dialog().getByRole('button', { name: 'Save' }).click();
  await page.getByText(`Global parameter ${PARAMETER} is set.`).waitFor();
  assert.deepEqual((await api('GET', `global-parameters/${PARAMETER}`)).value, { team: 'orders' });
  await card('Global parameters').getByText('{"team":"orders"}').waitFor();
  await page.getByRole('button', { name: PARAMETER, exact: true }).click();
  await dialog().getByLabel('Value').fill('7');
  await dialog().getByRole('button', { name: 'Save' }).click();
  await eventually('it is changed', async () => (await api('GET', `global-parameters/${PARAMETER}`)).value === 7);
  await page.getByRole('button', { name: `Delete global parameter ${PARAMETER}` }).click();
  await dialog().getByRole('button', { name: 'Delete' }).click();
  await page.getByText(`Global parameter ${PARAMETER} is deleted.`).waitFor();
  assert.deepEqual((await api('GET', 'global-parameters')).filter((p) => p.name === PARAMETER), []);
});

test('limits of a virtual host that vanished meanwhile are refused with the reason, and what was typed stays', async () => {
  await page.goto(`${URL_BASE}/#/vhosts`);
  await page.getByRole('button', { name: `Limits of ${VHOST}`, exact: true }).click();
  await dialog().getByLabel('Max queues').fill('5');
  await api('DELETE', `vhosts/${VHOST}`);
  await page.getByRole('button', { name: `Limits of ${VHOST}`, exact: true, includeHidden: true }).waitFor({ state: 'detached' });
  await dialog().getByRole('button', { name: 'Save' }).click();
  await dialog().getByRole('alert').getByText('There is no such vhost.').waitFor();
  assert.equal(await dialog().getByLabel('Max queues').inputValue(), '5');
});
