// A browser, a page that is logged in, and calls to the broker's API beside it.
import { chromium } from 'playwright-core';

export const URL_BASE = process.env.UI_URL ?? 'http://127.0.0.1:15672';
export const USER = process.env.UI_USER ?? 'guest';
export const PASSWORD = process.env.UI_PASSWORD ?? 'guest';
const AUTHORIZATION = `Basic ${Buffer.from(`${USER}:${PASSWORD}`).toString('base64')}`;
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-first-run'];

export const launch = () => chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });

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

/** A page whose console errors are collected in `page.faults`. */
export async function open(browser, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(10_000);
  page.faults = [];
  page.on('console', (m) => m.type() === 'error' && page.faults.push(`${m.text()} ${m.location().url}`));
  page.on('pageerror', (e) => page.faults.push(String(e)));
  return page;
}

export async function logIn(page, hash = '#/overview') {
  await page.goto(`${URL_BASE}/${hash}`);
  await page.getByLabel('User').fill(USER);
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.locator('nav.nav').waitFor({ state: 'attached' });
}
