// amqplib, promises.

import amqp from 'amqplib';

import { big, check, name, refused, run, url, wrongUrl } from './scenarios.js';

async function connect(address = url) {
  const connection = await amqp.connect(address);
  connection.on('error', () => {});
  return connection;
}

const withChannel = (work, confirm = false) => async () => {
  const connection = await connect();
  const channel = confirm ? await connection.createConfirmChannel() : await connection.createChannel();
  channel.on('error', () => {});
  try {
    await work(channel, connection);
  } finally {
    await connection.close();
  }
};

const queue = async (channel, args = {}) =>
  (await channel.assertQueue(name(), { exclusive: true, arguments: args })).queue;

async function take(channel, from) {
  for (;;) {
    const message = await channel.get(from);
    if (message) return message;
  }
}

run({
  'wrong-credentials': async () => {
    const error = await refused(connect(wrongUrl));
    check(String(error).includes('403'), String(error));
  },
  declare: withChannel(async (channel) => {
    const q = await queue(channel, { 'x-max-length': 10 });
    const x = name();
    await channel.assertExchange(x, 'topic', { autoDelete: true, durable: false });
    await channel.bindQueue(q, x, 'a.#');
    channel.publish(x, 'a.b', Buffer.from('hello'));
    check((await take(channel, q)).content.toString() === 'hello');
  }),
  confirms: withChannel(async (channel) => {
    const q = await queue(channel);
    for (let n = 0; n < 1000; n++) channel.sendToQueue(q, Buffer.from('x'), { persistent: true });
    await channel.waitForConfirms();
    check((await channel.checkQueue(q)).messageCount === 1000);
  }, true),
  mandatory: withChannel(async (channel) => {
    const back = new Promise((resolve) => channel.on('return', resolve));
    channel.publish('', name(), Buffer.from('back'), { mandatory: true });
    const message = await back;
    check(message.fields.replyCode === 312 && message.content.toString() === 'back');
  }),
  prefetch: withChannel(async (channel) => {
    const q = await queue(channel);
    for (let n = 0; n < 10; n++) channel.sendToQueue(q, Buffer.from(String(n)));
    await channel.prefetch(3);
    const got = [];
    let full;
    const three = new Promise((resolve) => (full = resolve));
    let end;
    const ten = new Promise((resolve) => (end = resolve));
    await channel.consume(q, (message) => {
      got.push(message);
      if (got.length === 3) full();
      if (got.length > 3) channel.ack(message);
      if (got.length === 10) end();
    });
    await three;
    check((await channel.checkQueue(q)).messageCount === 7);
    channel.ack(got[2], true);
    await ten;
    check(got.map((m) => m.content.toString()).join('') === '0123456789');
  }),
  requeue: withChannel(async (channel) => {
    const q = await queue(channel);
    channel.sendToQueue(q, Buffer.from('x'));
    channel.nack(await take(channel, q), false, true);
    check((await take(channel, q)).fields.redelivered);
  }),
  'dead-letter': withChannel(async (channel) => {
    const dead = await queue(channel);
    const q = await queue(channel, { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': dead });
    channel.sendToQueue(q, Buffer.from('x'));
    channel.reject(await take(channel, q), false);
    const death = (await take(channel, dead)).properties.headers['x-death'][0];
    check(death.count === 1 && death.reason === 'rejected' && death.queue === q, death);
  }),
  delayed: withChannel(async (channel) => {
    const x = name();
    await channel.assertExchange(x, 'x-delayed-message', {
      autoDelete: true, arguments: { 'x-delayed-type': 'direct' },
    });
    const q = await queue(channel);
    await channel.bindQueue(q, x, 'k');
    const start = Date.now();
    channel.publish(x, 'k', Buffer.from('x'), { headers: { 'x-delay': 500 } });
    await take(channel, q);
    check(Date.now() - start >= 490, Date.now() - start);
  }),
  'reply-to': withChannel(async (channel, connection) => {
    const q = await queue(channel);
    let resolve;
    const answer = new Promise((r) => (resolve = r));
    await channel.consume('amq.rabbitmq.reply-to', resolve, { noAck: true });
    channel.sendToQueue(q, Buffer.from('question'), { replyTo: 'amq.rabbitmq.reply-to' });
    const server = await connection.createChannel();
    const question = await take(server, q);
    server.sendToQueue(question.properties.replyTo, Buffer.from('answer'));
    check((await answer).content.toString() === 'answer');
  }),
  'big-body': withChannel(async (channel) => {
    const q = await queue(channel);
    channel.sendToQueue(q, big);
    await channel.waitForConfirms();
    check((await take(channel, q)).content.equals(big));
  }, true),
  'server-close': async () => {
    const connection = await connect();
    const channel = await connection.createChannel();
    channel.on('error', () => {});
    const error = await refused(channel.checkQueue(name()));
    check(error.code === 404, error.code);
    await (await connection.createChannel()).assertQueue('', { exclusive: true });
    await connection.close();
  },
  // Closes of both sides that cross leave the connection alone.
  closing: async () => {
    const connection = await connect();
    for (let round = 0; round < 50; round++) {
      const channel = await connection.createChannel();
      channel.on('error', () => {});
      channel.publish(name(), '', Buffer.from('x'));
      await channel.close().catch(() => {});
    }
    await (await connection.createChannel()).assertQueue('', { exclusive: true });
    await connection.close();
    for (let round = 0; round < 50; round++) await (await connect()).close();
  },
});
