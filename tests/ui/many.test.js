// Ten thousand queues: how soon the list is there, and how soon it is sorted another way, beside the same with a hundred.
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { api, launch, logIn, open, test, URL_BASE } from './browser.js';

const FEW = 100;
const MANY = 10_000;
const AT_ONCE = 50;
const ROUNDS = 5;
/** What a hundred times the queues may cost at most; less than a tenth of what a page that handles each of them would. */
const TIMES_MAX = 10;
const GIVEN_UP_MS = 180_000;

let browser;

before(async () => { browser = await launch(); });
after(() => browser?.close());

async function declare(from, to) {
  for (let i = from; i < to; i += AT_ONCE) {
    await Promise.all(Array.from({ length: AT_ONCE }, (_, k) => api('PUT', `queues/%2F/many-${i + k}`, { durable: false, auto_delete: false })));
  }
}

/** The best of a few: what else the machine does is not what is measured. */
async function best(measure) {
  const times = [];
  for (let i = 0; i < ROUNDS; i++) times.push(await measure());
  return Math.min(...times);
}

const paint = (page) => best(async () => {
  await page.goto('about:blank');
  const begun = performance.now();
  await page.goto(`${URL_BASE}/#/queues?name=many`);
  await page.locator('tbody tr').nth(20).waitFor();
  return performance.now() - begun;
});

/** In the page, from the click to the frame that shows the other order. */
const sort = (page, label) => best(() => page.evaluate(([text, limit]) => new Promise((done, fail) => {
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
}), [label, GIVEN_UP_MS]));

test('a hundred times the queues take little longer to paint and to sort', async () => {
  const page = await open(browser);
  await logIn(page);
  const measure = async () => ({ painted: await paint(page), sorted: await sort(page, 'Queue') });
  await declare(0, FEW);
  const few = await measure();
  await declare(FEW, MANY);
  const many = await measure();
  const said = Object.keys(few).map((what) => `${what} in ${many[what].toFixed(0)} ms (${FEW}: ${few[what].toFixed(0)} ms)`);
  process.stdout.write(`measured: ${MANY} queues ${said.join(', ')}\n`);
  for (const what of Object.keys(few)) assert.ok(many[what] < few[what] * TIMES_MAX, said.join(', '));
  await page.context().close();
});
