// Someone with few permissions sees and does only what is theirs.
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { api, eventually, examine, launch, logIn, openWithAxe, publish, test, URL_BASE } from './browser.js';

const NAME = 'ui-test-few';
const VHOST = 'ui-test-theirs';
let browser;

async function cleanUp() {
  await api('DELETE', `users/${NAME}`);
  await api('DELETE', `vhosts/${VHOST}`);
  await api('DELETE', 'queues/%2F/ui-test-closed');
}

before(async () => {
  browser = await launch();
  await cleanUp();
  await api('PUT', `users/${NAME}`, { password: 'few', tags: 'management' });
  await api('PUT', `vhosts/${VHOST}`, {});
  await api('PUT', `permissions/${VHOST}/guest`, { configure: '.*', write: '.*', read: '.*' });
  await api('PUT', `permissions/${VHOST}/${NAME}`, { configure: '^mine', write: '^mine', read: '^mine' });
  await api('PUT', `queues/${VHOST}/mine`, { durable: true });
  await api('PUT', `queues/${VHOST}/other`, { durable: true });
  await api('PUT', 'queues/%2F/ui-test-closed', { durable: true });
  await publish('amq.default', 'ui-test-closed', 'secret');
});
after(async () => {
  await cleanUp();
  await browser?.close();
});

test('pages show only their virtual host, none of what is for others, and no error', async () => {
  const page = await openWithAxe(browser);
  await logIn(page, '#/overview', NAME, 'few');
  const faults = [];
  for (const [name, hash] of [['overview', '#/overview'], ['queues', '#/queues'], ['queue', `#/queue/${VHOST}/mine`], ['exchanges', '#/exchanges'], ['exchange', `#/exchange/${VHOST}/amq.topic`], ['topology', '#/topology'], ['connections', '#/connections'], ['channels', '#/channels']]) {
    faults.push(...await examine(page, name, hash));
    assert.equal(await page.getByText('ui-test-closed').count(), 0, `${name} shows a queue of another virtual host`);
  }
  assert.deepEqual([...faults, ...page.faults], []);
  const entries = await page.locator('nav.nav a.item').allTextContents();
  assert.deepEqual(entries, ['Overview', 'Queues', 'Exchanges', 'Topology', 'Connections', 'Channels', 'Virtual hosts']);
  await page.context().close();
});

test('pages that are not for them say so, and nothing more', async () => {
  const page = await openWithAxe(browser);
  await logIn(page, '#/overview', NAME, 'few');
  for (const [hash, words] of [['#/users', 'with the tag administrator'], ['#/user/guest', 'with the tag administrator'], ['#/logs', 'with the tag monitoring'], ['#/policies', 'with the tag policymaker'], ['#/definitions', 'with the tag policymaker'], ['#/exchange/%2F/amq.topic', 'not authorized'], ['#/connection/none', 'is closed']]) {
    await page.evaluate((h) => { location.hash = h; }, hash);
    await page.getByRole('alert').getByText(words).first().waitFor().catch(() => assert.fail(`${hash} does not say: ${words}`));
    assert.equal(await page.getByText('ui-test-closed').count(), 0, hash);
  }
  // Of virtual hosts there is what is theirs.
  await page.evaluate(() => { location.hash = '#/vhosts'; });
  await page.getByRole('region', { name: 'Virtual hosts' }).getByText(VHOST).waitFor();
  assert.equal(await page.getByRole('button', { name: /^Delete/ }).count(), 0);
  // No key leads there either, and none is promised.
  await page.keyboard.press('?');
  const help = page.locator('dialog[open]');
  await help.getByText('To the vhosts').waitFor();
  for (const what of ['policies', 'users', 'definitions', 'logs']) assert.equal(await help.getByText(`To the ${what}`).count(), 0, what);
  await page.keyboard.press('Escape');
  await help.waitFor({ state: 'detached' });
  await eventually('a key that is theirs works, and one that is not was left out before', async () => {
    for (const key of ['g', 'u', 'g', 'q']) await page.keyboard.press(key);
    return page.getByRole('heading', { name: 'Queues', exact: true }).waitFor({ timeout: 2000 }).then(() => true, () => false);
  });
  assert.deepEqual(page.faults.filter((text) => /api\/(users|policies|logs|definitions)/.test(text)), []);
  await page.context().close();
});

test('what they may not do is refused where they asked for it, with the reason', async () => {
  const page = await openWithAxe(browser);
  await logIn(page, `#/queue/${VHOST}/other`, NAME, 'few');
  await page.getByRole('button', { name: 'Show messages' }).click();
  await page.getByRole('alert').getByText("read access to queue 'other'").waitFor();
  await page.getByRole('button', { name: 'Purge' }).click();
  await page.locator('dialog[open]').getByRole('button', { name: 'Purge' }).click();
  await page.locator('dialog[open]').getByRole('alert').getByText("read access to queue 'other'").waitFor();
  await page.keyboard.press('Escape');
  await page.goto(`${URL_BASE}/#/queue/%2F/ui-test-closed`);
  await page.getByRole('alert').getByText('not authorized').waitFor();
  // And what they may, works.
  await page.goto(`${URL_BASE}/#/queue/${VHOST}/mine`);
  await page.getByRole('button', { name: 'Show messages' }).click();
  await page.getByText('No message is ready.').waitFor();
  await eventually('still logged in', async () => (await page.getByRole('button', { name: 'Log out' }).count()) === 1);
  await page.context().close();
});
