/** Microservices over the RabbitMQ transport of @nestjs/microservices. */
import { strict as assert } from 'node:assert';
import { Controller, INestMicroservice, Module, Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  ClientProxy, ClientProxyFactory, Ctx, EventPattern, MessagePattern, MicroserviceOptions, Payload, RmqContext, RmqOptions, RmqRecordBuilder, RpcException, Transport,
} from '@nestjs/microservices';
import { connect } from 'amqplib';
import { firstValueFrom, from, lastValueFrom, timeout, toArray } from 'rxjs';
import { broker, check, queue, url, waitFor } from './harness';

type Options = RmqOptions['options'];

async function service(controller: Type, options: Options): Promise<INestMicroservice> {
  @Module({ controllers: [controller] })
  class Application {}
  const app = await NestFactory.createMicroservice<MicroserviceOptions>(Application, { transport: Transport.RMQ, options: { urls: [url], ...options }, logger: ['error'] });
  await app.listen();
  return app;
}

async function client(options: Options): Promise<ClientProxy> {
  const made = ClientProxyFactory.create({ transport: Transport.RMQ, options: { urls: [url], ...options } });
  await made.connect();
  return made;
}

/** A service and a client of one queue, while `act` runs. */
async function both(controller: Type, options: Options, act: (client: ClientProxy) => Promise<void>, clientOptions: Options = options) {
  const app = await service(controller, options);
  const { noAck: _, ...forClient } = clientOptions!;
  const proxy = await client(forClient);
  try {
    await act(proxy);
  } finally {
    await proxy.close();
    await app.close();
  }
}

const ask = <T>(proxy: ClientProxy, pattern: unknown, data: unknown) => firstValueFrom(proxy.send<T>(pattern, data).pipe(timeout(60_000)));

@Controller()
class Sums {
  @MessagePattern('sum')
  sum(@Payload() numbers: number[]) {
    return numbers.reduce((a, b) => a + b, 0);
  }

  @MessagePattern({ cmd: 'later' })
  async later(@Payload() text: string) {
    await new Promise(done => setTimeout(done, 20));
    return text.toUpperCase();
  }

  @MessagePattern('stream')
  stream() {
    return from([1, 2, 3]);
  }

  @MessagePattern('fails')
  fails() {
    throw new RpcException('no such order');
  }
}

check('requests-are-answered', () =>
  both(Sums, { queue: 'sums', queueOptions: { durable: false } }, async proxy => {
    assert.equal(await ask(proxy, 'sum', [1, 2, 3]), 6);
    assert.equal(await ask(proxy, { cmd: 'later' }, 'abc'), 'ABC');
    assert.deepEqual(await lastValueFrom(proxy.send('stream', '').pipe(toArray())), [1, 2, 3]);
  }));

check('errors-reach-the-requester', () =>
  both(Sums, { queue: 'sums', queueOptions: { durable: false } }, async proxy => {
    await assert.rejects(ask(proxy, 'fails', ''), { message: 'no such order', status: 'error' });
    await assert.rejects(ask(proxy, 'unheard-of', ''), /no matching message handler/);
  }));

check('hundreds-of-requests-at-once-each-get-their-own-answer', () =>
  both(Sums, { queue: 'sums', queueOptions: { durable: false } }, async proxy => {
    const answers = await Promise.all(Array.from({ length: 500 }, (_, number) => ask(proxy, 'sum', [number, 1000])));
    assert.deepEqual(answers, Array.from({ length: 500 }, (_, number) => number + 1000));
  }));

check('two-services-share-a-queue', async () => {
  const second = await service(Sums, { queue: 'sums', queueOptions: { durable: false } });
  await both(Sums, { queue: 'sums', queueOptions: { durable: false } }, async proxy => {
    const answers = await Promise.all(Array.from({ length: 100 }, (_, number) => ask(proxy, 'sum', [number, 1])));
    assert.deepEqual(answers, Array.from({ length: 100 }, (_, number) => number + 1));
    await waitFor(async () => (await queue('sums')).consumers === 2, () => 'two consumers');
  });
  await second.close();
});

check('replies-through-a-queue-of-their-own', async () => {
  const connection = await connect(url);
  const channel = await connection.createChannel();
  await channel.assertQueue('sums-replies', { durable: false });
  await both(Sums, { queue: 'sums', queueOptions: { durable: false } }, async proxy => assert.equal(await ask(proxy, 'sum', [4, 5]), 9),
    { queue: 'sums', queueOptions: { durable: false }, replyQueue: 'sums-replies' });
  await connection.close();
});

let heard: string[] = [];

@Controller()
class Events {
  @EventPattern('happened')
  happened(@Payload() what: string) {
    heard.push(what);
  }
}

check('events-arrive-in-order', () =>
  both(Events, { queue: 'events', queueOptions: { durable: true } }, async proxy => {
    heard = [];
    for (let number = 0; number < 200; number++) await lastValueFrom(proxy.emit('happened', `e${number}`));
    await waitFor(() => heard.length === 200, () => `200 events, but ${heard.length}`);
    assert.deepEqual(heard, Array.from({ length: 200 }, (_, number) => `e${number}`));
  }));

const held: RmqContext[] = [];
const release = (context: RmqContext) => context.getChannelRef().ack(context.getMessage());

@Controller()
class Holding {
  @EventPattern('hold')
  hold(@Payload() what: string, @Ctx() context: RmqContext) {
    heard.push(what);
    held.push(context);
  }
}

check('prefetch-holds-back-until-acked', () =>
  both(Holding, { queue: 'held', noAck: false, prefetchCount: 2, queueOptions: { durable: true } }, async proxy => {
    heard = [];
    for (const what of 'abcde') await lastValueFrom(proxy.emit('hold', what));
    await waitFor(() => heard.length === 2, () => `2 of them, but ${heard.length}`);
    await waitFor(async () => (await queue('held')).messages_ready === 3, () => 'three ready');
    assert.equal(heard.length, 2);
    held.splice(0).forEach(release);
    await waitFor(() => heard.length === 4, () => `4 of them, but ${heard.length}`);
    held.splice(0).forEach(release);
    await waitFor(() => heard.length === 5, () => `all of them, but ${heard.length}`);
    held.splice(0).forEach(release);
    await waitFor(async () => (await queue('held')).messages === 0, () => 'an empty queue');
  }));

check('unacked-messages-come-again-after-the-service', async () => {
  const options: Options = { queue: 'again', noAck: false, queueOptions: { durable: true } };
  heard = [];
  await both(Holding, options, async proxy => {
    await lastValueFrom(proxy.emit('hold', 'x'));
    await waitFor(() => held.length === 1, () => 'it held');
  });
  held.length = 0;
  await both(Holding, options, async () => {
    await waitFor(() => held.length === 1, () => 'it again');
    assert.equal(held[0].getMessage().fields.redelivered, true);
    held.splice(0).forEach(release);
    await waitFor(async () => (await queue('again')).messages === 0, () => 'an empty queue');
  });
});

check('what-has-no-handler-is-a-dead-letter', async () => {
  const connection = await connect(url);
  const channel = await connection.createChannel();
  await channel.assertQueue('unheard', { durable: true });
  await both(Holding, { queue: 'heard', noAck: false, queueOptions: { durable: true, deadLetterExchange: '', deadLetterRoutingKey: 'unheard' } }, async proxy => {
    await lastValueFrom(proxy.emit('no-handler', 'x'));
    await waitFor(async () => (await queue('unheard')).messages === 1, () => 'a dead letter');
    const message = await channel.get('unheard', { noAck: true });
    assert(message);
    assert.equal(message.properties.headers!['x-death']![0].reason, 'rejected');
  });
  await connection.close();
});

@Controller()
class Wild {
  @EventPattern('orders.*')
  orders(@Payload() what: string) {
    heard.push(`orders ${what}`);
  }

  @EventPattern('logs.#')
  logs(@Payload() what: string) {
    heard.push(`logs ${what}`);
  }

  @MessagePattern('stock.*.count')
  count(@Payload() what: string, @Ctx() context: RmqContext) {
    return `${context.getPattern()} ${what}`;
  }
}

check('wildcards-by-a-topic-exchange', () =>
  both(Wild, { queue: 'wild', wildcards: true, queueOptions: { durable: true } }, async proxy => {
    heard = [];
    for (const [pattern, what] of [['orders.new', 'a'], ['orders.new.paid', 'none'], ['logs', 'b'], ['logs.api.error', 'c'], ['other', 'none']] as const) {
      await lastValueFrom(proxy.emit(pattern, what));
    }
    assert.equal(await ask(proxy, 'stock.shoes.count', 'pairs'), 'stock.shoes.count pairs');
    await waitFor(() => heard.length === 3, () => `three events, but ${heard}`);
    assert.deepEqual(heard, ['orders a', 'logs b', 'logs c']);
  }));

check('fanout-reaches-every-service', async () => {
  const options = (name: string): Options => ({ queue: name, exchange: 'to-all', exchangeType: 'fanout', queueOptions: { exclusive: true, durable: false } });
  const second = await service(Events, options('fan-2'));
  await both(Events, options('fan-1'), async proxy => {
    heard = [];
    await lastValueFrom(proxy.emit('happened', 'x'));
    await waitFor(() => heard.length === 2, () => `two events, but ${heard.length}`);
  });
  await second.close();
});

@Controller()
class Records {
  @MessagePattern('headers')
  headers(@Ctx() context: RmqContext) {
    const { headers, priority, contentType, deliveryMode } = context.getMessage().properties;
    return { headers, priority, contentType, deliveryMode };
  }
}

check('records-carry-headers-and-properties', () =>
  both(Records, { queue: 'records', queueOptions: { durable: true, maxPriority: 5 }, persistent: true }, async proxy => {
    const record = new RmqRecordBuilder('').setOptions({ headers: { 'x-version': '1.0.0', n: 5 as unknown as string }, priority: 3, contentType: 'application/json' }).build();
    assert.deepEqual(await ask(proxy, 'headers', record), { headers: { 'x-version': '1.0.0', n: 5 }, priority: 3, contentType: 'application/json', deliveryMode: 2 });
  }));

check('priorities-come-first', async () => {
  const options: Options = { queue: 'ranked', queueOptions: { durable: true, maxPriority: 9 } };
  const proxy = await client(options);
  for (const priority of [1, 9, 5]) await lastValueFrom(proxy.emit('happened', new RmqRecordBuilder(`p${priority}`).setOptions({ priority }).build()));
  await waitFor(async () => (await queue('ranked'))?.messages === 3, () => 'all there');
  heard = [];
  const app = await service(Events, options);
  await waitFor(() => heard.length === 3, () => 'all heard');
  assert.deepEqual(heard, ['p9', 'p5', 'p1']);
  await proxy.close();
  await app.close();
});

check('another-declaration-of-the-queue-is-refused', async () => {
  const app = await service(Events, { queue: 'differing', queueOptions: { durable: true } });
  const connection = await connect(url);
  const channel = await connection.createChannel();
  channel.on('error', () => undefined);
  await assert.rejects(channel.assertQueue('differing', { durable: true, maxLength: 5 }), /406 \(PRECONDITION[-_]FAILED\).*inequivalent arg 'x-max-length' for queue 'differing' in vhost '\/'/);
  await connection.close();
  await app.close();
});

check('killed-broker-is-found-again', () =>
  both(Sums, { queue: 'lasting', queueOptions: { durable: true }, socketOptions: { reconnectTimeInSeconds: 1, heartbeatIntervalInSeconds: 5 } }, async proxy => {
    assert.equal(await ask(proxy, 'sum', [1]), 1);
    const statuses: string[] = [];
    proxy.status.subscribe(status => statuses.push(status));
    await broker('kill');
    await waitFor(() => statuses.includes('disconnected'), () => 'disconnected');
    // Waits in the client until the broker is there again.
    const waiting = lastValueFrom(proxy.emit('nobody', 'x'));
    waiting.catch(() => undefined);
    await broker('start');
    await waitFor(async () => (await queue('lasting'))?.consumers === 1, () => 'the service is back');
    await waitFor(() => statuses.at(-1) === 'connected', () => 'the client is back');
    assert.equal(await ask(proxy, 'sum', [2, 3]), 5);
  }));

check('events-outlive-a-killed-broker', async () => {
  const options: Options = { queue: 'outliving', queueOptions: { durable: true }, persistent: true };
  const proxy = await client(options);
  for (let number = 0; number < 100; number++) await lastValueFrom(proxy.emit('happened', `e${number}`));
  await proxy.close();
  await broker('kill');
  await broker('start');
  heard = [];
  const app = await service(Events, options);
  await waitFor(() => heard.length === 100, () => `100 events, but ${heard.length}`);
  assert.deepEqual(heard, Array.from({ length: 100 }, (_, number) => `e${number}`));
  await app.close();
});
