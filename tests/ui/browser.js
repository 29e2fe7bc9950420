// A browser, a page that is logged in, and calls to the broker's API beside it.
import assert from 'node:assert/strict';
import net from 'node:net';
import { test as plainTest } from 'node:test';
import { chromium } from 'playwright-core';

export const URL_BASE = process.env.UI_URL ?? 'http://127.0.0.1:15672';
export const USER = process.env.UI_USER ?? 'guest';
export const PASSWORD = process.env.UI_PASSWORD ?? 'guest';
const AUTHORIZATION = `Basic ${Buffer.from(`${USER}:${PASSWORD}`).toString('base64')}`;
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-first-run'];

/**
 * How long anything is waited for: much longer than it takes on a machine that has much else to do. Nothing waits longer
 * than until what it waits for is there.
 */
const PATIENCE_MS = 180_000;
/** A test that takes longer hangs. The first start of a browser, which reads half a gigabyte, lies in `before`, outside of it. */
const TEST_MS_MAX = 900_000;

export const launch = () => chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS, timeout: TEST_MS_MAX });

/** A test of `node:test`, with a limit of its own: the runner's would hold for a whole file. */
export const test = (name, act) => plainTest(name, { timeout: TEST_MS_MAX }, act);

export async function api(method, where, body) {
  const answer = await fetch(`${URL_BASE}/api/${where}`, {
    method,
    headers: { Authorization: AUTHORIZATION, 'Content-Type': 'application/json' },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (!answer.ok && !(method === 'DELETE' && answer.status === 404)) throw new Error(`${method} ${where}: ${answer.status} ${await answer.text()}`);
  const text = await answer.text();
  return text ? JSON.parse(text) : null;
}

/** Publishes one persistent message over the API. */
export const publish = (exchange, key, payload, encoding = 'string') =>
  api('POST', `exchanges/%2F/${exchange}/publish`, { properties: { delivery_mode: 2, headers: { tenant: 'a' } }, routing_key: key, payload, payload_encoding: encoding });

/** Asks until the answer is true. */
export async function eventually(what, check, timeoutMs = PATIENCE_MS) {
  const end = Date.now() + timeoutMs;
  for (;;) {
    const value = await check();
    if (value) return value;
    assert.ok(Date.now() < end, `in time: ${what}`);
    await new Promise((done) => { setTimeout(done, 100); });
  }
}

/** A page whose console errors are collected in `page.faults`. */
export async function open(browser, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  page.faults = [];
  page.on('console', (m) => m.type() === 'error' && page.faults.push(`${m.text()} ${m.location().url}`));
  page.on('pageerror', (e) => page.faults.push(String(e)));
  return page;
}

export async function logIn(page, hash = '#/overview', user = USER, password = PASSWORD, base = URL_BASE) {
  await page.goto(`${base}/${hash}`);
  await page.getByLabel('User').fill(user);
  await page.getByLabel('Password').fill(password);
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.locator('nav.nav').waitFor({ state: 'attached' });
}

/** A wire to the broker that can be cut, held, so that nothing goes through though it is whole, and mended. */
export async function relay() {
  const { hostname, port } = new URL(URL_BASE);
  const ends = new Set();
  let whole = true;
  let held = false;
  const server = net.createServer((near) => {
    if (!whole) {
      near.destroy();
      return;
    }
    const far = net.connect(Number(port), hostname);
    for (const [end, other] of [[near, far], [far, near]]) {
      ends.add(end);
      end.on('error', () => {});
      end.on('close', () => {
        ends.delete(end);
        other.destroy();
      });
      end.pipe(other);
      if (held) end.pause();
    }
  });
  await new Promise((done) => { server.listen(0, '127.0.0.1', done); });
  const cut = () => {
    whole = false;
    ends.forEach((end) => end.destroy());
  };
  const hold = () => {
    held = true;
    ends.forEach((end) => end.pause());
  };
  const mend = () => {
    [whole, held] = [true, false];
    ends.forEach((end) => end.resume());
  };
  return { url: `http://127.0.0.1:${server.address().port}`, cut, hold, mend, close: () => { cut(); server.close(); } };
}

const axe = new URL('node_modules/axe-core/axe.min.js', import.meta.url).pathname;

/** A page with axe in it. Not as a script tag: the content security policy has no place for one. */
export async function openWithAxe(browser, options) {
  const page = await open(browser, options);
  await page.addInitScript({ path: axe });
  return page;
}

/** Controls that cannot be seen whole without scrolling sideways, be it the page or a box in it. */
const cutOff = (page) => page.evaluate(() => [...document.querySelectorAll('a, button, input, select, textarea, summary')].filter((el) => {
  const box = el.getBoundingClientRect();
  if (!el.checkVisibility({ visibilityProperty: true }) || el.matches('.skip') || !box.width) return false;
  for (let up = el.parentElement; up; up = up.parentElement) {
    const frame = up.getBoundingClientRect();
    if (getComputedStyle(up).overflowX !== 'visible' && (box.left < frame.left - 1 || box.right > frame.right + 1)) return true;
  }
  return box.left < -1 || box.right > innerWidth + 1;
}).map((el) => `${el.ariaLabel ?? el.textContent} is cut off`));

/** What the title says of a page: its last name. */
const titleOf = (hash) => `${decodeURIComponent(hash.split('?')[0].split('/').at(-1))} · Leveret`.replace(/\s+/g, ' ');

/** Goes to a page, waits until it is drawn, and says what is wrong with it: refusals, width, what is cut off, accessibility. */
export async function examine(page, name, hash) {
  await page.evaluate((h) => { location.hash = h; }, hash);
  // The title changes once the page that was left is gone.
  await eventually(`${name} is shown`, async () => (await page.title()) === titleOf(hash));
  await page.locator('main h1').first().waitFor({ state: 'attached' });
  await eventually(`${name} is loaded`, async () => (await page.locator('.skeleton').count()) === 0);
  const faults = (await page.locator('main .problem').allTextContents()).map((text) => `${name}: ${text}`);
  const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  if (over > 0) faults.push(`${name} is ${over} px too wide`);
  faults.push(...(await cutOff(page)).map((text) => `${name}: ${text}`));
  // Nothing is pointed at: pictures show the page at rest.
  await page.mouse.move(0, 0);
  const violations = await page.evaluate(async () => (await window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa'] })).violations
    .map((v) => `${v.id}: ${v.nodes.map((n) => n.html.slice(0, 160)).slice(0, 3).join(' | ')}`));
  return [...faults, ...violations.map((v) => `${name}: ${v}`)];
}

export const SCHEMES = ['light', 'dark'];
export const SIZES = { desktop: { width: 1440, height: 900 }, phone: { width: 360, height: 740 } };
