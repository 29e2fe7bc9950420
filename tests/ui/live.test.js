// What moves by itself: the past in charts and sparklines, the stream of events, the log.
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { api, eventually, launch, logIn, open, PASSWORD, publish, relay, test, URL_BASE, USER } from './browser.js';

const QUEUE = 'ui-test-live';
let browser;

before(async () => {
  browser = await launch();
  await api('DELETE', `queues/%2F/${QUEUE}`);
  await api('PUT', `queues/%2F/${QUEUE}`, { durable: true });
});
after(async () => {
  await api('DELETE', `queues/%2F/${QUEUE}`);
  await browser?.close();
});

/** Samples as the broker has them: newest first, one every so many seconds. */
const samples = (age, every, value) => Array.from({ length: age / every + 1 }, (_, i) => ({ sample: value(age / every - i), timestamp: Date.now() - i * every * 1000 }));

test('charts go back an hour, eight, and a day, and show what the broker remembers of it', async () => {
  const page = await open(browser);
  await page.route(/api\/overview\?.*lengths_age=(3600|28800|86400)/, async (route) => {
    const query = new URL(route.request().url()).searchParams;
    const [age, every] = [Number(query.get('lengths_age')), Number(query.get('lengths_incr'))];
    const answer = await route.fetch();
    const body = await answer.json();
    // Depth stands at the age in seconds; a hundred messages come each second.
    body.queue_totals.messages_ready_details = { rate: 0, samples: samples(age, every, () => age) };
    body.message_stats.publish_details = { rate: 0, samples: samples(age, every, (n) => n * every * 100) };
    await route.fulfill({ response: answer, json: body });
  });
  await logIn(page);
  for (const [name, depth] of [['1 h', '3,600'], ['8 h', '28.8 k'], ['24 h', '86.4 k']]) {
    await page.getByRole('button', { name, exact: true }).click();
    await page.getByRole('button', { name, exact: true, pressed: true }).waitFor();
    await page.getByRole('img', { name: new RegExp(`Messages in queues, now: Ready ${depth}`) }).waitFor();
    await page.getByRole('img', { name: /Message rates, now: In 100\/s/ }).waitFor();
    await eventually('both are drawn', async () => (await page.locator('.plot canvas').count()) === 2);
  }
  await page.reload();
  // The choice outlives a reload.
  await page.getByRole('button', { name: '24 h', pressed: true }).waitFor();
  await page.getByRole('button', { name: '10 min' }).click();
  await page.getByRole('img', { name: /Message rates, now: In \d/ }).waitFor();
  // Pointing at a line tells when, and how much it was then.
  const legend = page.locator('.chart', { hasText: 'Message rates' }).locator('.legend');
  assert.equal(await legend.getByText(/^\d\d:\d\d:\d\d$/).count(), 0);
  await page.locator('.u-over').first().hover();
  await legend.getByText(/^\d\d:\d\d:\d\d$/).waitFor();
  await page.context().close();
});

test('sparklines show the past from the start, with one call for a page', async () => {
  await publish('amq.default', QUEUE, 'x');
  await eventually('the broker has samples of it', async () => (await api('GET', `queues/%2F/${QUEUE}?lengths_age=300&lengths_incr=5`)).messages_details.samples.length > 2);
  const page = await open(browser);
  const asked = [];
  page.on('request', (r) => r.url().includes('lengths_age') && asked.push(new URL(r.url()).pathname));
  await logIn(page, `#/queues?name=${QUEUE}`);
  await page.locator('tbody svg.spark[role="img"] path.area').waitFor();
  assert.deepEqual(asked, ['/api/queues']);
  await page.context().close();
});

test('news come by one stream without asking, and again after the server was lost', async () => {
  const wire = await relay();
  const page = await open(browser);
  let streams = 0;
  let polls = 0;
  page.on('response', (r) => { streams += Number(r.url().includes('/api/events') && r.status() === 200); });
  page.on('request', (r) => { polls += Number(r.url().includes(`/api/queues/%2F/${QUEUE}`) && !r.url().includes('bindings') && !r.url().includes('effective')); });
  await logIn(page, `#/queue/%2F/${QUEUE}`, USER, PASSWORD, wire.url);
  const ready = async () => Number(await page.locator('.facts dd').first().textContent());
  await eventually('there is a stream', () => streams > 0);
  const grows = async (what) => {
    const was = await ready();
    await publish('amq.default', QUEUE, 'x');
    await eventually(what, async () => (await ready()) > was);
  };
  await grows('the number grows');
  polls = 0;
  await grows('it grows by the stream');
  await grows('and again');
  assert.equal(polls, 0, 'nothing was asked for meanwhile');
  wire.cut();
  await page.getByText('The broker does not answer; figures are from').waitFor();
  const opened = streams;
  wire.mend();
  await page.getByText('The broker does not answer; figures are from').waitFor({ state: 'detached' });
  await eventually('there is another stream', () => streams > opened);
  await grows('the number grows again');
  await page.context().close();
  wire.close();
});

test('a server that hangs is told, with the time of the figures; their age is shown', async () => {
  const wire = await relay();
  const page = await open(browser);
  await logIn(page, `#/queue/%2F/${QUEUE}`, USER, PASSWORD, wire.url);
  await page.getByText(/^updated \d+ s ago$/).waitFor();
  // The stream has begun, which is listened to from then on.
  await page.waitForResponse((r) => r.url().includes('/api/events'));
  wire.hold();
  await page.getByText(/^The broker does not answer; figures are from \d\d:\d\d:\d\d\. Trying again\.$/).waitFor();
  await page.getByText(/^updated \d\d+ s ago$/).waitFor();
  wire.mend();
  await page.getByText('The broker does not answer').waitFor({ state: 'detached' });
  await page.getByText(/^updated [1-9] s ago$/).waitFor();
  await page.context().close();
  wire.close();
});

test('the log comes line by line, without asking', async () => {
  const page = await open(browser);
  let asked = 0;
  const followed = page.waitForResponse((r) => r.url().includes('/api/livelog'));
  await logIn(page, '#/logs?level=warn');
  await followed;
  page.on('request', (r) => { asked += Number(r.url().includes('/api/log')); });
  await fetch(`${URL_BASE}/api/whoami`, { headers: { Authorization: `Basic ${Buffer.from('ui-test-nobody:wrong').toString('base64')}` } });
  await page.getByRole('log').getByText('ui-test-nobody').first().waitFor();
  assert.equal(asked, 0);
  await page.getByLabel('Filter the log').fill('no such thing');
  await page.getByText('that has “no such thing” in it').waitFor();
  await page.context().close();
});

test('looking at messages changes nothing; getting them is another choice', async () => {
  await api('DELETE', `queues/%2F/${QUEUE}/contents`);
  for (let i = 0; i < 12; i++) await publish('amq.default', QUEUE, `number ${i}`);
  const page = await open(browser);
  await logIn(page, `#/queue/%2F/${QUEUE}`);
  await page.getByRole('button', { name: 'Show messages' }).click();
  await page.locator('.message').nth(9).getByText('number 9').waitFor();
  await page.getByRole('navigation', { name: 'Pages of messages' }).getByRole('button', { name: 'Next' }).click();
  await page.locator('.message').first().getByText('number 10').waitFor();
  assert.equal(await page.locator('.message').count(), 2);
  assert.equal(await page.locator('.message').getByText('redelivered').count(), 0);
  const look = { count: 12, ackmode: 'peek', encoding: 'auto' };
  assert.ok((await api('POST', `queues/%2F/${QUEUE}/get`, look)).every((m) => !m.redelivered));
  await page.getByLabel('How', { exact: true }).selectOption('ack_requeue_true');
  await page.getByRole('button', { name: 'Show messages' }).click();
  await eventually('they were given back', async () => (await api('POST', `queues/%2F/${QUEUE}/get`, look))[0].redelivered);
  await page.getByLabel('How', { exact: true }).selectOption('ack_requeue_false');
  await page.getByRole('button', { name: 'Show messages' }).click();
  await page.locator('dialog[open]').getByRole('button', { name: 'Take them out' }).click();
  await page.getByText(`10 messages taken out of ${QUEUE}.`).waitFor();
  assert.equal((await api('POST', `queues/%2F/${QUEUE}/get`, look)).length, 2);
  await page.context().close();
});
