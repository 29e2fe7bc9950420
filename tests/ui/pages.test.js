// Every page while messages flow, in light and dark, on a desk and in a hand.
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { api, examine, launch, logIn, openWithAxe, SCHEMES, SIZES, test } from './browser.js';

let browser;

/** Rows for the pages that the traffic leaves empty. */
const CLERK = 'ui-test-clerk';
const MADE = {
  'vhosts/ui-test-warehouse': { description: 'Stock of the shops in the north' },
  'vhost-limits/ui-test-warehouse/max-queues': { value: 500 },
  [`users/${CLERK}`]: { password: 'x', tags: 'monitoring,policymaker' },
  [`permissions/%2F/${CLERK}`]: { configure: '^(orders|invoices)\\..*$', write: '.*', read: '' },
  [`permissions/ui-test-warehouse/${CLERK}`]: { configure: '', write: '^stock', read: '^stock' },
  [`topic-permissions/%2F/${CLERK}`]: { exchange: 'shop', write: '^{username}\\.', read: '.*' },
  'policies/%2F/ui-test-short-lived': { pattern: '^ui-test-session\\.', 'apply-to': 'queues', priority: 1, definition: { 'message-ttl': 60_000, 'dead-letter-exchange': 'shop.dead' } },
  'operator-policies/%2F/ui-test-bounds': { pattern: '^ui-test-', 'apply-to': 'queues', priority: 0, definition: { 'max-length': 1_000_000 } },
  'global-parameters/ui-test-contact': { value: { team: 'orders', pager: '+49 30 901820' } },
};

before(async () => {
  browser = await launch();
  for (const [where, body] of Object.entries(MADE)) await api('PUT', where, body);
});
after(async () => {
  for (const where of ['vhosts/ui-test-warehouse', `users/${CLERK}`, 'policies/%2F/ui-test-short-lived', 'operator-policies/%2F/ui-test-bounds', 'global-parameters/ui-test-contact']) await api('DELETE', where);
  await browser?.close();
});

const PAGES = {
  overview: '#/overview',
  queues: '#/queues',
  queue: '#/queue/%2F/orders',
  exchanges: '#/exchanges',
  exchange: '#/exchange/%2F/shop',
  topology: '#/topology',
  connections: '#/connections',
  channels: '#/channels',
  policies: '#/policies',
  users: '#/users',
  user: `#/user/${CLERK}`,
  vhosts: '#/vhosts',
  definitions: '#/definitions',
  logs: '#/logs',
  delayed: '#/exchange/%2F/shop.later',
};

for (const colorScheme of SCHEMES) {
  for (const [size, viewport] of Object.entries(SIZES)) {
    test(`${colorScheme}, ${size}: every page shows itself, fits, passes axe and logs no error`, async () => {
      const here = await openWithAxe(browser, { colorScheme, viewport });
      await logIn(here);
      const faults = [];
      for (const [name, hash] of Object.entries(PAGES)) {
        faults.push(...await examine(here, name, hash));
        if (process.env.UI_SCREENS) await here.screenshot({ path: `${process.env.UI_SCREENS}/${name}-${colorScheme}-${size}.png`, fullPage: true });
      }
      assert.deepEqual([...faults, ...here.faults], []);
      await here.context().close();
    });
  }
}
