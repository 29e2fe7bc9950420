// Moleculer: nodes that find each other, call each other and send events through the broker.
const assert = require('node:assert/strict');
const { ServiceBroker } = require('moleculer');
const { broker: runner, check, url, waitFor } = require('./harness');

let serial = 0;

/** Nodes of a namespace of their own, while `act` runs. */
async function withNodes(names, act, options = {}) {
  const namespace = `mol${serial++}`;
  const seen = [];
  const nodes = names.map(nodeID => {
    const node = new ServiceBroker({
      namespace, nodeID, logger: false, transporter: { type: 'AMQP', options: { url, ...options.transporter } }, heartbeatInterval: 60, heartbeatTimeout: 180, requestTimeout: 60_000,
      disableBalancer: options.disableBalancer ?? false,
    });
    if (nodeID !== 'client') {
      node.createService({
        name: 'sums',
        actions: {
          add: ({ params }) => params.a + params.b,
          who: () => nodeID,
          fails: () => { throw new Error('on purpose'); },
        },
        events: Object.fromEntries(['order.new', 'order.all'].map(name => [name, { group: 'sums', handler: ({ eventName }) => seen.push([nodeID, eventName]) }])),
      });
    }
    return node;
  });
  await Promise.all(nodes.map(node => node.start()));
  const client = nodes.find(({ nodeID }) => nodeID === 'client');
  await client.waitForServices('sums', 60_000);
  await waitFor(() => client.registry.getServiceList({}).filter(({ name }) => name === 'sums').length === names.length - 1, () => 'all services known');
  try {
    await act(client, seen, nodes);
  } finally {
    await Promise.all(nodes.map(node => node.stop()));
  }
}

for (const disableBalancer of [false, true]) {
  const how = disableBalancer ? 'balanced-by-the-broker' : 'balanced-by-nodes';

  check(`moleculer-calls-${how}`, () =>
    withNodes(['client', 'a', 'b'], async client => {
      const sums = await Promise.all(Array.from({ length: 200 }, (_, n) => client.call('sums.add', { a: n, b: 1 })));
      assert.deepEqual(sums, Array.from({ length: 200 }, (_, n) => n + 1));
      const who = new Set(await Promise.all(Array.from({ length: 50 }, () => client.call('sums.who'))));
      assert.deepEqual([...who].sort(), ['a', 'b']);
      await assert.rejects(client.call('sums.fails'), /on purpose/);
    }, { disableBalancer }));

  check(`moleculer-events-${how}`, () =>
    withNodes(['client', 'a', 'b'], async (client, seen) => {
      for (let n = 0; n < 20; n++) await client.emit('order.new', { n });
      await waitFor(() => seen.length === 20, () => `20, but ${seen.length}`);
      await client.broadcast('order.all', {});
      await waitFor(() => seen.length === 22, () => `22, but ${seen.length}`);
      assert.deepEqual(seen.slice(20).sort(), [['a', 'order.all'], ['b', 'order.all']]);
    }, { disableBalancer }));
}

check('moleculer-nodes-come-and-go', () =>
  withNodes(['client', 'a', 'b'], async (client, seen, nodes) => {
    await nodes.find(({ nodeID }) => nodeID === 'b').stop();
    await waitFor(() => client.registry.getServiceList({ onlyAvailable: true }).filter(({ name }) => name === 'sums').length === 1, () => 'one service');
    const who = new Set(await Promise.all(Array.from({ length: 20 }, () => client.call('sums.who'))));
    assert.deepEqual([...who], ['a']);
  }));

check('moleculer-finds-a-killed-broker-again', () =>
  withNodes(['client', 'a'], async client => {
    assert.equal(await client.call('sums.add', { a: 1, b: 2 }), 3);
    await runner('kill');
    await runner('start');
    const answered = async () => {
      try {
        return (await client.call('sums.add', { a: 3, b: 4 }, { timeout: 1000 })) === 7;
      } catch {
        return false;
      }
    };
    await waitFor(answered, () => 'an answer');
  }));
