// Rascal: publications, subscriptions and what it does with messages that fail.
const assert = require('node:assert/strict');
const { BrokerAsPromised } = require('rascal');
const { broker: runner, check, sleep, url, waitFor } = require('./harness');

const management = { url: process.env.HTTP_URL.replace('://', '://guest:guest@') };
const connection = { url, retry: { min: 200, max: 1000, factor: 2, strategy: 'exponential' }, management };

/** A broker of Rascal's with this configuration of the vhost, while `act` runs. */
async function withBroker(vhost, act, name = '/', more = {}) {
  const broker = await BrokerAsPromised.create({ vhosts: { [name]: { connection, ...vhost } }, ...more });
  // Rascal tells of each connection that it loses, and goes on.
  broker.on('error', () => undefined);
  try {
    await act(broker);
  } finally {
    await broker.nuke();
  }
}

async function subscribe(broker, name, take) {
  const subscription = await broker.subscribe(name);
  subscription.on('error', () => undefined).on('message', take).on('redeliveries_exceeded', (error, message, ackOrNack) => ackOrNack(error, { strategy: 'nack' }));
  return subscription;
}

async function publish(broker, name, content, overrides) {
  const publication = await broker.publish(name, content, overrides);
  return new Promise((resolve, reject) => publication.on('success', () => resolve('success')).on('return', () => resolve('return')).on('error', reject));
}

const shop = {
  exchanges: { shop: { type: 'topic' }, dead: { type: 'fanout' }, retries: { type: 'topic' } },
  queues: { orders: { options: { arguments: { 'x-dead-letter-exchange': 'dead' } } }, dead: {}, other: {} },
  bindings: ['shop[order.#] -> orders', 'dead -> dead', 'shop[other.*,another] -> other'],
  publications: { shop: { exchange: 'shop' }, other: { exchange: 'shop', routingKey: 'other.forwarded' }, direct: { queue: 'orders' } },
  subscriptions: { orders: { queue: 'orders', prefetch: 10 }, dead: { queue: 'dead' }, other: { queue: 'other' } },
};

check('rascal-publishes-and-subscribes', () =>
  withBroker(shop, async broker => {
    const seen = [];
    await subscribe(broker, 'orders', (message, content, ackOrNack) => (seen.push(content), ackOrNack()));
    for (let n = 0; n < 100; n++) assert.equal(await publish(broker, 'shop', { n }, { routingKey: 'order.new' }), 'success');
    assert.equal(await publish(broker, 'direct', 'text'), 'success');
    assert.equal(await publish(broker, 'shop', Buffer.from([1, 2, 3]), { routingKey: 'order' }), 'success');
    await waitFor(() => seen.length === 102, () => `102, but ${seen.length}`);
    assert.deepEqual(seen, [...Array.from({ length: 100 }, (_, n) => ({ n })), 'text', Buffer.from([1, 2, 3])]);
  }));

check('rascal-returns', () =>
  withBroker(shop, async broker => assert.equal(await publish(broker, 'shop', 'x', { routingKey: 'nowhere', options: { mandatory: true } }), 'return')));

check('rascal-nacks-to-dead-letters', () =>
  withBroker(shop, async broker => {
    let death;
    await subscribe(broker, 'orders', (message, content, ackOrNack) => ackOrNack(new Error('no')));
    await subscribe(broker, 'dead', (message, content, ackOrNack) => (([death] = message.properties.headers['x-death']), ackOrNack()));
    await publish(broker, 'shop', 'x', { routingKey: 'order' });
    await waitFor(() => death, () => 'a dead letter');
    assert.equal(death.reason, 'rejected');
    assert.equal(death.count, 1);
  }));

check('rascal-republishes-with-attempts', () =>
  withBroker(shop, async broker => {
    const attempts = [];
    let dead;
    await subscribe(broker, 'orders', (message, content, ackOrNack) => {
      attempts.push(message.properties.headers.rascal?.recovery?.orders?.republished ?? 0);
      ackOrNack(new Error('no'), [{ strategy: 'republish', defer: 50, attempts: 3 }, { strategy: 'nack' }]);
    });
    await subscribe(broker, 'dead', (message, content, ackOrNack) => ((dead = content), ackOrNack()));
    await publish(broker, 'shop', 'x', { routingKey: 'order' });
    await waitFor(() => dead === 'x', () => `dead after ${attempts}`);
    assert.equal(attempts.length, 4);
  }));

check('rascal-forwards', () =>
  withBroker(shop, async broker => {
    const seen = [];
    await subscribe(broker, 'orders', (message, content, ackOrNack) => ackOrNack(new Error('elsewhere'), { strategy: 'forward', publication: 'other' }));
    await subscribe(broker, 'other', (message, content, ackOrNack) => (seen.push([content, message.fields.routingKey]), ackOrNack()));
    await publish(broker, 'shop', 'x', { routingKey: 'order' });
    await publish(broker, 'shop', 'y', { routingKey: 'another' });
    await waitFor(() => seen.length === 2, () => 'both');
    // Rascal gives a forwarded message the key back that it came with.
    assert.deepEqual(seen.sort(), [['x', 'order'], ['y', 'another']]);
  }));

check('rascal-deferred-retries-through-queues-that-expire', () =>
  withBroker({
    exchanges: ['work', 'wait'],
    queues: { work: {}, wait: { options: { arguments: { 'x-message-ttl': 300, 'x-dead-letter-exchange': 'work' } } } },
    bindings: ['work[#] -> work', 'wait[#] -> wait'],
    publications: { work: { exchange: 'work', routingKey: 'a' }, wait: { exchange: 'wait' } },
    subscriptions: { work: { queue: 'work' } },
  }, async broker => {
    const times = [];
    await subscribe(broker, 'work', (message, content, ackOrNack) => {
      times.push(Date.now());
      if (times.length < 3) ackOrNack(new Error('later'), { strategy: 'forward', publication: 'wait', options: { routingKey: 'a' } });
      else ackOrNack();
    });
    await publish(broker, 'work', 'x');
    await waitFor(() => times.length === 3, () => `three times, but ${times.length}`);
    assert(times[1] - times[0] >= 299 && times[2] - times[1] >= 299, String(times));
  }));

check('rascal-limits-redeliveries', () =>
  withBroker({
    ...shop,
    subscriptions: { ...shop.subscriptions, orders: { queue: 'orders', redeliveries: { limit: 3, counter: 'kept' } } },
  }, async broker => {
    let seen = 0, dead;
    await subscribe(broker, 'dead', (message, content, ackOrNack) => ((dead = content), ackOrNack()));
    await subscribe(broker, 'orders', (message, content, ackOrNack) => (seen++, ackOrNack(new Error('again'), { strategy: 'nack', requeue: true })));
    await publish(broker, 'shop', 'x', { routingKey: 'order' });
    await waitFor(() => dead === 'x', () => `dead after ${seen}`);
    assert.equal(seen, 4);
  }, '/', { redeliveries: { counters: { kept: { type: 'inMemory', size: 100 } } } }));

check('rascal-makes-its-vhost-through-the-management-api', () =>
  withBroker({ ...shop, assert: true, check: true }, async broker => {
    const vhosts = await (await fetch(`${process.env.HTTP_URL}/api/vhosts`, { headers: { authorization: `Basic ${btoa('guest:guest')}` } })).json();
    assert(vhosts.some(({ name }) => name === 'rascal-made'));
    assert.equal(await publish(broker, 'direct', 'x'), 'success');
  }, 'rascal-made'));

check('rascal-cancels-and-purges', () =>
  withBroker(shop, async broker => {
    const seen = [];
    const subscription = await subscribe(broker, 'orders', (message, content, ackOrNack) => (seen.push(content), ackOrNack()));
    await subscription.cancel();
    await publish(broker, 'direct', 'x');
    await sleep(200);
    assert.deepEqual(seen, []);
    await broker.purge();
    await subscribe(broker, 'orders', (message, content, ackOrNack) => (seen.push(content), ackOrNack()));
    await publish(broker, 'direct', 'y');
    await waitFor(() => seen.length, () => 'one');
    assert.deepEqual(seen, ['y']);
  }));

check('rascal-finds-a-killed-broker-again', () =>
  withBroker(shop, async broker => {
    const seen = new Set();
    await subscribe(broker, 'orders', (message, content, ackOrNack) => (seen.add(content), ackOrNack()));
    for (let n = 0; n < 50; n++) await publish(broker, 'direct', `before ${n}`);
    await runner('kill');
    await runner('start');
    for (let n = 0; n < 50; n++) await publish(broker, 'direct', `after ${n}`);
    await waitFor(() => seen.size === 100, () => `100, but ${seen.size}`);
  }));
