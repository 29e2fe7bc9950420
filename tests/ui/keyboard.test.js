// Everything by keyboard alone: order, focus that is seen, dialogs that keep it and give it back.
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach } from 'node:test';
import { api, eventually, launch, logIn, openWithAxe, publish, SCHEMES, SIZES, test, URL_BASE } from './browser.js';

const QUEUE = 'ui-test-keys';
let browser;
let page;

before(async () => {
  browser = await launch();
  await api('DELETE', `queues/%2F/${QUEUE}`);
});
after(async () => {
  await api('DELETE', `queues/%2F/${QUEUE}`);
  await browser?.close();
});
beforeEach(async () => {
  page = await openWithAxe(browser);
  await logIn(page, '#/queues');
  await page.getByRole('heading', { name: 'Queues', exact: true }).waitFor();
});
afterEach(() => page.context().close());

const focused = () => page.evaluate(() => {
  const el = document.activeElement;
  return el && { text: (el.getAttribute('aria-label') ?? el.textContent).trim(), outline: getComputedStyle(el).outlineStyle, inDialog: !!el.closest('dialog') };
});

async function tabTo(name, most = 60) {
  for (let i = 0; i < most; i++) {
    await page.keyboard.press('Tab');
    const at = await focused();
    if (at.text === name) return at;
  }
  throw new Error(`${name} is not reached by Tab`);
}

test('the first stop skips the navigation; each stop is seen; the order is that of the page', async () => {
  await page.evaluate(() => document.activeElement?.blur());
  await page.keyboard.press('Tab');
  assert.equal((await focused()).text, 'Skip to content');
  await page.keyboard.press('Enter');
  assert.equal(await page.evaluate(() => document.activeElement?.id), 'main');
  const stops = [];
  for (let i = 0; i < 4; i++) {
    await page.keyboard.press('Tab');
    const at = await focused();
    assert.notEqual(at.outline, 'none', `${at.text} shows no focus`);
    stops.push(at.text);
  }
  assert.deepEqual(stops.slice(0, 3), ['Declare a queue', 'Filter queues by name', 'Columns']);
});

test('a queue is declared, published to, looked into and purged without a mouse', async () => {
  await tabTo('Declare a queue');
  await page.keyboard.press('Enter');
  const dialog = page.locator('dialog[open]');
  await dialog.waitFor();
  // Round and round: focus does not leave the dialog for the page behind it.
  for (let i = 0; i < 12; i++) {
    await page.keyboard.press('Tab');
    assert.ok(await page.evaluate(() => document.activeElement === document.body || !!document.activeElement?.closest('dialog')), 'focus left the dialog');
  }
  await page.keyboard.press('Escape');
  // Not only closed: gone, or what opens it would find it still there.
  await page.locator('dialog').waitFor({ state: 'detached' });
  assert.equal((await focused()).text, 'Declare a queue', 'focus returns to what opened the dialog');

  await page.keyboard.press('Enter');
  await dialog.getByLabel('Name').focus();
  await page.keyboard.type(QUEUE);
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: QUEUE, exact: true }).waitFor();

  await tabTo('Publish');
  await page.keyboard.press('Enter');
  await dialog.getByLabel('Body', { exact: true }).focus();
  await page.keyboard.type('typed');
  for (let i = 0; i < 20 && (await focused()).text !== 'Publish'; i++) await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await page.getByText('Published and routed.').waitFor();

  await tabTo('Show messages');
  await page.keyboard.press('Enter');
  await page.locator('.message').getByText('typed').waitFor();

  await page.keyboard.press('Shift+Tab');
  await page.getByRole('button', { name: 'Purge' }).focus();
  await page.keyboard.press('Enter');
  await dialog.waitFor();
  for (let i = 0; i < 5 && (await focused()).text !== 'Purge'; i++) await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await page.getByText(`${QUEUE} is purged.`).waitFor();
  await eventually('the purge is counted', async () => (await api('GET', `queues/%2F/${QUEUE}`)).messages === 0);
});

test('/ goes to the search of a page, or to the queues; ? helps and leaves everything as it was', async () => {
  await page.keyboard.press('/');
  assert.equal((await focused()).text, 'Filter queues by name');
  // What is typed there is text.
  await page.keyboard.type('?/g');
  assert.equal(await page.getByLabel('Filter queues by name').inputValue(), '?/g');
  await page.keyboard.press('Escape');
  await page.keyboard.press('?');
  await page.getByRole('heading', { name: 'Keys', exact: true }).waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('heading', { name: 'Keys', exact: true }).waitFor({ state: 'detached' });
  await page.goto(`${URL_BASE}/#/definitions`);
  await page.getByRole('heading', { name: 'Definitions', exact: true }).waitFor();
  await page.keyboard.press('/');
  await page.getByRole('heading', { name: 'Queues', exact: true }).waitFor();
});

test('a list is sorted and its columns chosen by keyboard', async () => {
  await tabTo('Ready');
  await page.keyboard.press('Enter');
  await eventually('sorted, the largest first', async () => (await page.locator('th[aria-sort]').textContent()).trim() === 'Ready ↓');
  await page.locator('summary', { hasText: 'Columns' }).focus();
  await page.keyboard.press('Enter');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Space');
  await page.getByRole('columnheader', { name: 'Virtual host' }).waitFor();
});

for (const colorScheme of SCHEMES) {
  for (const [size, viewport] of Object.entries(SIZES)) {
    test(`${colorScheme}, ${size}: dialogs, the login form and an error pass axe`, async () => {
      const here = await openWithAxe(browser, { colorScheme, viewport });
      const axe = async (name) => {
        const found = await here.evaluate(async () => (await window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa'] })).violations.map((v) => `${v.id}: ${v.nodes[0].html.slice(0, 160)}`));
        if (process.env.UI_SCREENS) await here.screenshot({ path: `${process.env.UI_SCREENS}/${name}-${colorScheme}-${size}.png` });
        return found.map((text) => `${name}: ${text}`);
      };
      await here.goto(URL_BASE);
      await here.getByLabel('User').waitFor();
      const faults = await axe('login');
      await api('PUT', `queues/%2F/${QUEUE}`, { durable: true });
      await publish('amq.default', QUEUE, '{"a": 1}');
      await logIn(here, `#/queue/%2F/${QUEUE}`);
      await here.getByRole('button', { name: 'Show messages' }).click();
      await here.locator('.message').first().scrollIntoViewIfNeeded();
      faults.push(...await axe('messages'));
      for (const [name, button] of [['publish', 'Publish'], ['redrive', 'Redrive'], ['purge', 'Purge'], ['delete', 'Delete']]) {
        await here.getByRole('button', { name: button, exact: true }).first().click();
        await here.locator('dialog[open]').waitFor();
        faults.push(...await axe(`dialog-${name}`));
        if (name === 'delete') {
          await here.locator('dialog[open]').getByRole('textbox').fill('wrong');
          await here.locator('dialog[open]').getByRole('button', { name: 'Delete' }).click();
          await here.locator('dialog[open]').getByRole('alert').waitFor();
          faults.push(...await axe('dialog-refused'));
        }
        await here.keyboard.press('Escape');
        await here.locator('dialog[open]').waitFor({ state: 'detached' });
      }
      await here.keyboard.press('?');
      await here.locator('dialog[open]').waitFor();
      faults.push(...await axe('help'));
      // It belongs to the page that is left.
      await here.goto(`${URL_BASE}/#/queue/%2F/ui-test-none`);
      await here.getByText('There is no queue ui-test-none').waitFor();
      await here.locator('dialog').waitFor({ state: 'detached' });
      faults.push(...await axe('missing'));
      assert.deepEqual(faults, []);
      await here.context().close();
    });
  }
}
