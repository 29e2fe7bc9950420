/** @golevelup/nestjs-rabbitmq: RPC, subscriptions and what becomes of messages whose handler fails. */
import { strict as assert } from 'node:assert';
import { INestApplicationContext, Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  AmqpConnection, defaultNackErrorHandler, MessageHandlerErrorBehavior, Nack, RabbitMQModule, RabbitPayload, RabbitRPC, RabbitSubscribe,
} from '@golevelup/nestjs-rabbitmq';
import { ConsumeMessage } from 'amqplib';
import { broker, check, queue, url, waitFor } from './harness';

let heard: string[] = [];
let batches: number[] = [];

@Injectable()
class Handlers {
  @RabbitRPC({ exchange: 'shop', routingKey: 'price.*', queue: 'prices', queueOptions: { durable: true } })
  price(@RabbitPayload() asked: { item: string }) {
    return { item: asked.item, price: asked.item.length };
  }

  @RabbitRPC({ exchange: 'shop', routingKey: 'fails', queue: 'fails', errorHandler: defaultNackErrorHandler, queueOptions: { deadLetterExchange: 'dead', deadLetterRoutingKey: 'rpc' } })
  fails() {
    throw new Error('no price');
  }

  @RabbitRPC({
    exchange: 'shop', routingKey: 'tells', queue: 'tells',
    errorHandler: (channel, message, error) => {
      channel.publish('', message.properties.replyTo, Buffer.from(JSON.stringify({ error: error.message })), { correlationId: message.properties.correlationId });
      channel.ack(message);
    },
  })
  tells() {
    throw new Error('out of stock');
  }

  @RabbitSubscribe({ exchange: 'shop', routingKey: ['order.#', 'invoice.*'], queue: 'book-keeping', queueOptions: { durable: true } })
  keep(message: { n: number }) {
    heard.push(`kept ${message.n}`);
  }

  @RabbitSubscribe({ exchange: 'shop', routingKey: 'refused', queue: 'refused', queueOptions: { durable: true, deadLetterExchange: 'dead', deadLetterRoutingKey: 'refused' } })
  async refuse() {
    return new Nack(false);
  }

  @RabbitSubscribe({ exchange: 'shop', routingKey: 'flaky', queue: 'flaky', errorBehavior: MessageHandlerErrorBehavior.REQUEUE, queueOptions: { durable: true } })
  flaky(message: { n: number }, raw: ConsumeMessage) {
    heard.push(`flaky ${message.n} ${raw.fields.redelivered}`);
    if (!raw.fields.redelivered) throw new Error('once');
  }

  @RabbitSubscribe({ exchange: 'shop', routingKey: 'forgiven', queue: 'forgiven', errorBehavior: MessageHandlerErrorBehavior.ACK, queueOptions: { durable: true } })
  forgiven() {
    heard.push('forgiven');
    throw new Error('never mind');
  }

  @RabbitSubscribe({ exchange: 'dead', routingKey: '#', queue: 'dead-letters', queueOptions: { durable: true } })
  dead(message: unknown, raw: ConsumeMessage) {
    const [death] = raw.properties.headers!['x-death']!;
    heard.push(`dead ${raw.fields.routingKey} ${death.queue} ${death.reason} ${death.count}`);
  }

  @RabbitSubscribe({ exchange: 'shop', routingKey: 'many', queue: 'many', queueOptions: { durable: true, channel: 'wide' }, batchOptions: { size: 25, timeout: 300 } })
  many(messages: unknown[]) {
    batches.push(messages.length);
  }

  // The queue is bound to an exchange that is bound to another.
  @RabbitSubscribe({ exchange: 'inner', routingKey: 'deep.*', queue: 'deep', queueOptions: { durable: true } })
  deep(message: { n: number }) {
    heard.push(`deep ${message.n}`);
  }

  // Without a name: a queue that the broker names.
  @RabbitSubscribe({ exchange: 'shop', routingKey: 'to-all', queueOptions: { exclusive: true, autoDelete: true } })
  toAll(message: { n: number }, raw: ConsumeMessage) {
    heard.push(`to-all ${message.n}`);
  }
}

@Module({
  imports: [
    RabbitMQModule.forRoot({
      uri: url,
      prefetchCount: 10,
      defaultRpcTimeout: 60_000,
      exchanges: [{ name: 'shop', type: 'topic' }, { name: 'dead', type: 'topic' }, { name: 'inner', type: 'topic', options: { internal: true } }],
      exchangeBindings: [{ destination: 'inner', source: 'shop', pattern: 'deep.#' }],
      queues: [{ name: 'by-configuration', exchange: 'shop', routingKey: 'order.#', options: { durable: true, messageTtl: 60_000 } }],
      channels: { wide: { prefetchCount: 100 } },
      connectionInitOptions: { wait: true, timeout: 60_000 },
      connectionManagerOptions: { reconnectTimeInSeconds: 1, heartbeatIntervalInSeconds: 5 },
    }),
  ],
  providers: [Handlers],
})
class Application {}

async function withApplication(act: (amqp: AmqpConnection, app: INestApplicationContext) => Promise<void>) {
  const app = await NestFactory.createApplicationContext(Application, { logger: false });
  heard = [];
  batches = [];
  try {
    await act(app.get(AmqpConnection), app);
  } finally {
    await app.close();
  }
}

const hears = (wanted: string[]) => waitFor(() => wanted.every(what => heard.includes(what)), () => `${wanted} among ${heard}`);

check('golevelup-rpc', () =>
  withApplication(async amqp => {
    const answers = await Promise.all(['a', 'bb', 'ccc'].map(item => amqp.request({ exchange: 'shop', routingKey: `price.${item}`, payload: { item } })));
    assert.deepEqual(answers, [{ item: 'a', price: 1 }, { item: 'bb', price: 2 }, { item: 'ccc', price: 3 }]);
  }));

check('golevelup-rpc-that-fails-is-a-dead-letter-and-times-out', () =>
  withApplication(async amqp => {
    await assert.rejects(amqp.request({ exchange: 'shop', routingKey: 'fails', timeout: 2000 }), /timeout/i);
    await hears(['dead rpc fails rejected 1']);
    assert.deepEqual(await amqp.request({ exchange: 'shop', routingKey: 'tells' }), { error: 'out of stock' });
  }));

check('golevelup-subscriptions-by-several-keys', () =>
  withApplication(async amqp => {
    for (const [n, key] of ['order', 'order.new.paid', 'invoice.5', 'invoice'].entries()) await amqp.publish('shop', key, { n });
    await hears(['kept 0', 'kept 1', 'kept 2']);
    assert(!heard.includes('kept 3'));
    await waitFor(async () => (await queue('by-configuration'))?.messages === 2, () => 'two in the queue by configuration');
  }));

check('golevelup-error-behaviours', () =>
  withApplication(async amqp => {
    await amqp.publish('shop', 'refused', { n: 1 });
    await amqp.publish('shop', 'flaky', { n: 2 });
    await amqp.publish('shop', 'forgiven', { n: 3 });
    await hears(['dead refused refused rejected 1', 'flaky 2 false', 'flaky 2 true', 'forgiven']);
    for (const name of ['refused', 'flaky', 'forgiven']) await waitFor(async () => (await queue(name)).messages === 0, () => `${name} is empty`);
    assert.equal(heard.filter(what => what === 'forgiven').length, 1);
  }));

check('golevelup-batches', () =>
  withApplication(async amqp => {
    await Promise.all(Array.from({ length: 60 }, (_, n) => amqp.publish('shop', 'many', { n })));
    await waitFor(() => batches.reduce((a, b) => a + b, 0) === 60, () => `60 in batches, but ${batches}`);
    assert.equal(Math.max(...batches), 25);
    await waitFor(async () => (await queue('many')).messages === 0, () => 'all acknowledged');
  }));

check('golevelup-exchange-bindings-and-queues-without-a-name', () =>
  withApplication(async amqp => {
    await amqp.publish('shop', 'deep.sea', { n: 1 });
    await amqp.publish('shop', 'to-all', { n: 2 });
    await hears(['deep 1', 'to-all 2']);
  }));

check('golevelup-consumers-cancelled-and-resumed', () =>
  withApplication(async amqp => {
    for (const tag of amqp.consumerTags) await amqp.cancelConsumer(tag);
    await amqp.publish('shop', 'order.1', { n: 1 });
    await waitFor(async () => (await queue('book-keeping')).messages_ready === 1, () => 'waiting in the queue');
    for (const tag of amqp.consumerTags) await amqp.resumeConsumer(tag);
    await hears(['kept 1']);
  }));

check('golevelup-killed-broker-is-found-again', () =>
  withApplication(async amqp => {
    await broker('kill');
    // Publishes wait in the client.
    const waiting = amqp.publish('shop', 'order.late', { n: 9 });
    await broker('start');
    await waiting;
    await hears(['kept 9']);
    // Also the queue that went with the connection is there again.
    await amqp.publish('shop', 'to-all', { n: 8 });
    await hears(['to-all 8']);
    assert.deepEqual(await amqp.request({ exchange: 'shop', routingKey: 'price.x', payload: { item: 'x' } }), { item: 'x', price: 1 });
  }));
