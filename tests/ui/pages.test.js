// Every page while messages flow, in light and dark, on a desk and in a hand.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { examine, launch, logIn, openWithAxe, SCHEMES, SIZES, USER } from './browser.js';

let browser;

before(async () => { browser = await launch(); });
after(() => browser?.close());

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
  user: `#/user/${USER}`,
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
