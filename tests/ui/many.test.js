// Ten thousand queues: how soon the list is there, and how soon it is sorted another way.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { api, launch, logIn, open, URL_BASE } from './browser.js';

const TOTAL = 10_000;
const AT_ONCE = 50;
const ROUNDS = 3;
const PAINT_MS_MAX = 1000;
const SORT_MS_MAX = 200;
const GIVEN_UP_MS = 10_000;

let browser;

before(async () => {
  browser = await launch();
  for (let i = 0; i < TOTAL; i += AT_ONCE) {
    await Promise.all(Array.from({ length: AT_ONCE }, (_, k) => api('PUT', `queues/%2F/many-${i + k}`, { durable: false, auto_delete: false })));
  }
});
after(() => browser?.close());

/** The best of a few: what else the machine does is not what is measured. */
async function best(measure) {
  const times = [];
  for (let i = 0; i < ROUNDS; i++) times.push(await measure());
  return Math.min(...times);
}

test('the list paints within a second and sorts within 200 ms', async () => {
  const page = await open(browser);
  await logIn(page);
  const painted = await best(async () => {
    await page.goto('about:blank');
    const begun = performance.now();
    await page.goto(`${URL_BASE}/#/queues?name=many`);
    await page.locator('tbody tr').nth(20).waitFor();
    return performance.now() - begun;
  });
  // In the page, from the click to the frame that shows the other order.
  const sort = (label) => page.evaluate(([text, limit]) => new Promise((done, fail) => {
    const head = [...document.querySelectorAll('th button')].find((b) => b.textContent.startsWith(text));
    const first = () => document.querySelector('tbody tr').textContent;
    const old = first();
    const begun = performance.now();
    const look = () => {
      const passed = performance.now() - begun;
      if (first() !== old && !document.querySelector('.updating')) done(passed);
      else if (passed > limit) fail(new Error(`still in the old order after ${limit} ms: ${first()}`));
      else requestAnimationFrame(look);
    };
    head.click();
    requestAnimationFrame(look);
  }), [label, GIVEN_UP_MS]);
  const sorted = await best(() => sort('Queue'));
  process.stdout.write(`measured: ${TOTAL} queues painted in ${painted.toFixed(0)} ms, sorted in ${sorted.toFixed(0)} ms\n`);
  assert.ok(painted < PAINT_MS_MAX && sorted < SORT_MS_MAX, `painted in ${painted} ms, sorted in ${sorted} ms`);
  await page.context().close();
});
