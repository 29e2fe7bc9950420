// rabbitmq-client.

import { Connection } from 'rabbitmq-client';

import { big, check, name, refused, run, url, wrongUrl } from './scenarios.js';

const withConnection = (work) => async () => {
  const connection = new Connection({ url, acquireTimeout: 180_000 });
  connection.on('error', () => {});
  try {
    await work(connection);
  } finally {
    await connection.close();
  }
};

const queue = async (connection, args = {}) =>
  (await connection.queueDeclare({ queue: name(), exclusive: true, arguments: args })).queue;

// The queue is there already: look, but do not declare it again.
const existing = (q) => ({ queue: q, queueOptions: { passive: true } });

async function take(connection, from) {
  for (;;) {
    const message = await connection.basicGet({ queue: from, noAck: true });
    if (message) return message;
  }
}

run({
  'wrong-credentials': async () => {
    const connection = new Connection({ url: wrongUrl, retryLow: 60_000 });
    const error = await new Promise((resolve) => connection.on('error', resolve));
    check(String(error).includes('ACCESS_REFUSED'), String(error));
    connection.unsafeDestroy();
  },
  declare: withConnection(async (connection) => {
    const q = await queue(connection, { 'x-max-length': 10 });
    const x = name();
    await connection.exchangeDeclare({ exchange: x, type: 'topic', autoDelete: true });
    await connection.queueBind({ queue: q, exchange: x, routingKey: 'a.#' });
    const publisher = connection.createPublisher({ confirm: true });
    await publisher.send({ exchange: x, routingKey: 'a.b' }, { hello: 1 });
    check((await take(connection, q)).body.hello === 1);
    await publisher.close();
  }),
  confirms: withConnection(async (connection) => {
    const q = await queue(connection);
    const publisher = connection.createPublisher({ confirm: true });
    await Promise.all(Array.from({ length: 1000 }, () => publisher.send({ routingKey: q, durable: true }, 'x')));
    check((await connection.queueDeclare({ queue: q, passive: true })).messageCount === 1000);
    await publisher.close();
  }),
  mandatory: withConnection(async (connection) => {
    const publisher = connection.createPublisher({ confirm: true });
    const back = new Promise((resolve) => publisher.on('basic.return', resolve));
    await publisher.send({ routingKey: name(), mandatory: true }, 'back');
    check((await back).body === 'back');
    await publisher.close();
  }),
  prefetch: withConnection(async (connection) => {
    const q = await queue(connection);
    const publisher = connection.createPublisher({ confirm: true });
    for (let n = 0; n < 10; n++) await publisher.send(q, String(n));
    const got = [];
    let atOnce = 0;
    let most = 0;
    await new Promise((resolve, reject) => {
      const consumer = connection.createConsumer({ ...existing(q), qos: { prefetchCount: 3 } }, async (message) => {
        most = Math.max(most, ++atOnce);
        got.push(message.body);
        await connection.queueDeclare({ queue: q, passive: true });
        atOnce--;
        if (got.length === 10) setImmediate(() => consumer.close().then(resolve, reject));
      });
    });
    check(most <= 3 && got.join('') === '0123456789', most, got);
    await publisher.close();
  }),
  requeue: withConnection(async (connection) => {
    const q = await queue(connection);
    const publisher = connection.createPublisher({ confirm: true });
    await publisher.send(q, 'x');
    const seen = [];
    await new Promise((resolve, reject) => {
      const consumer = connection.createConsumer(existing(q), async (message) => {
        seen.push(message.redelivered);
        if (seen.length === 1) return 1;
        setImmediate(() => consumer.close().then(resolve, reject));
        return 0;
      });
    });
    check(seen[0] === false && seen[1] === true, seen);
    await publisher.close();
  }),
  'dead-letter': withConnection(async (connection) => {
    const dead = await queue(connection);
    const q = await queue(connection, { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': dead });
    const publisher = connection.createPublisher({ confirm: true });
    await publisher.send(q, 'x');
    const consumer = connection.createConsumer(existing(q), async () => 2);
    const death = (await take(connection, dead)).headers['x-death'][0];
    check(death.count === 1 && death.reason === 'rejected' && death.queue === q, death);
    await consumer.close();
    await publisher.close();
  }),
  delayed: withConnection(async (connection) => {
    const x = name();
    await connection.exchangeDeclare({
      exchange: x, type: 'x-delayed-message', autoDelete: true, arguments: { 'x-delayed-type': 'direct' },
    });
    const q = await queue(connection);
    await connection.queueBind({ queue: q, exchange: x, routingKey: 'k' });
    const publisher = connection.createPublisher({ confirm: true });
    const start = Date.now();
    await publisher.send({ exchange: x, routingKey: 'k', headers: { 'x-delay': 500 } }, 'x');
    await take(connection, q);
    check(Date.now() - start >= 490, Date.now() - start);
    await publisher.close();
  }),
  'reply-to': withConnection(async (connection) => {
    const q = await queue(connection);
    const server = connection.createConsumer(existing(q), async (message, reply) => reply(`re: ${message.body}`));
    await new Promise((resolve) => server.on('ready', resolve));
    const client = connection.createRPCClient({ confirm: true });
    check((await client.send(q, 'question')).body === 're: question');
    await client.close();
    await server.close();
  }),
  'big-body': withConnection(async (connection) => {
    const q = await queue(connection);
    const publisher = connection.createPublisher({ confirm: true });
    await publisher.send(q, big);
    check((await take(connection, q)).body.equals(big));
    await publisher.close();
  }),
  'server-close': withConnection(async (connection) => {
    const error = await refused(connection.queueDeclare({ queue: name(), passive: true }));
    check(error.code === 'NOT_FOUND', error.code);
    await queue(connection);
  }),
});
