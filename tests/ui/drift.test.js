// What is declared in a file and changed by hand is told where one looks first.
import { after, before } from 'node:test';
import { api, launch, logIn, open, test, URL_BASE } from './browser.js';

let browser;

before(async () => { browser = await launch(); });
after(async () => {
  await api('PUT', 'global-parameters/declared', { value: true });
  await browser?.close();
});

test('drift is on the overview and on the topology page, and goes when it is mended', async () => {
  const page = await open(browser);
  await api('PUT', 'global-parameters/declared', { value: 'by hand' });
  await logIn(page);
  await page.getByLabel('Status').getByRole('link', { name: '1 object not as declared' }).click();
  await page.getByRole('heading', { name: 'Topology', exact: true }).waitFor();
  await page.getByText(/^Not as .*topology\.yaml:1 says: global_parameter declared$/).waitFor();
  await api('PUT', 'global-parameters/declared', { value: true });
  await page.goto(`${URL_BASE}/#/overview`);
  await page.getByLabel('Status').waitFor();
  await page.getByText('not as declared').waitFor({ state: 'detached' });
});
