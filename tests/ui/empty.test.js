// Every page of a broker in which nobody has done anything yet.
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { examine, launch, logIn, openWithAxe, SCHEMES, SIZES, test } from './browser.js';

let browser;

before(async () => { browser = await launch(); });
after(() => browser?.close());

const PAGES = {
  overview: '#/overview',
  queues: '#/queues',
  exchanges: '#/exchanges',
  exchange: '#/exchange/%2F/amq.topic',
  topology: '#/topology',
  connections: '#/connections',
  channels: '#/channels',
  policies: '#/policies',
  users: '#/users',
  vhosts: '#/vhosts',
  definitions: '#/definitions',
  logs: '#/logs',
};

for (const colorScheme of SCHEMES) {
  for (const [size, viewport] of Object.entries(SIZES)) {
    test(`${colorScheme}, ${size}: with nothing in the broker every page says what to do next, fits, passes axe and logs no error`, async () => {
      const here = await openWithAxe(browser, { colorScheme, viewport });
      await logIn(here);
      const faults = [];
      for (const [name, hash] of Object.entries(PAGES)) {
        faults.push(...await examine(here, name, hash));
        if (process.env.UI_SCREENS) await here.screenshot({ path: `${process.env.UI_SCREENS}/empty-${name}-${colorScheme}-${size}.png`, fullPage: true });
      }
      assert.deepEqual([...faults, ...here.faults], []);
      await here.context().close();
    });
  }
}
