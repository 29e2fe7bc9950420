// A small shop whose messages flow, pile up, come back and get lost: what the pages have to show. Runs until SIGTERM.
import amqp from 'amqplib';

const URL = process.env.UI_AMQP ?? 'amqp://guest:guest@127.0.0.1:5672';
const DAY_MS = 86_400_000;
const ORDER = { id: 41_873, customer: 'c-1729', currency: 'EUR', total: 84.9, lines: [{ sku: 'tea-04', count: 2 }, { sku: 'cup-11', count: 1 }] };

const open = (name) => amqp.connect(URL, { clientProperties: { connection_name: name } });
const body = (more) => Buffer.from(JSON.stringify({ ...ORDER, ...more }));
const every = (ms, act) => setInterval(act, ms);

async function topology(channel) {
  await channel.assertExchange('shop', 'topic', { durable: true });
  await channel.assertExchange('shop.dead', 'fanout', { durable: true });
  await channel.assertExchange('shop.later', 'x-delayed-message', { durable: true, arguments: { 'x-delayed-type': 'topic' } });
  const queues = {
    orders: { 'x-dead-letter-exchange': 'shop.dead', 'x-message-ttl': DAY_MS },
    invoices: { 'x-max-length': 100_000, 'x-overflow': 'reject-publish' },
    emails: { 'x-message-ttl': 3_600_000 },
    'stock.sync': {},
    payments: {},
    webhooks: { 'x-delivery-limit': 1_000_000 },
    'orders.dead': {},
    reminders: { 'x-max-priority': 5 },
    audit: { 'x-single-active-consumer': true },
  };
  for (const [name, args] of Object.entries(queues)) await channel.assertQueue(name, { durable: true, arguments: args });
  for (const [queue, key] of [['orders', 'order.new'], ['invoices', 'order.*'], ['emails', 'mail.#'], ['stock.sync', 'stock.#'], ['payments', 'payment.*'], ['webhooks', 'hook.*'], ['audit', '#.new']]) {
    await channel.bindQueue(queue, 'shop', key);
  }
  await channel.bindExchange('shop', 'shop.later', 'mail.#');
  await channel.bindQueue('reminders', 'shop.later', 'reminder.*');
  await channel.bindQueue('orders.dead', 'shop.dead', '');
}

const producer = await open('shop-frontend');
const out = await producer.createChannel();
await topology(out);
const billing = await open('billing-worker');
const stock = await open('stock-worker');
const webhooks = await open('webhook-worker');

const consume = async (connection, queue, prefetch, onMessage) => {
  const channel = await connection.createChannel();
  await channel.prefetch(prefetch);
  await channel.consume(queue, (m) => m && onMessage(channel, m));
  return channel;
};

let ending = false;
let seen = 0;
await consume(billing, 'orders', 200, (channel, m) => (++seen % 97 === 0 ? channel.reject(m, false) : channel.ack(m)));
await consume(billing, 'invoices', 200, (channel, m) => channel.ack(m));
await consume(billing, 'audit', 50, (channel, m) => channel.ack(m));
// Takes all it can get and acknowledges nothing.
await consume(billing, 'payments', 0, () => {});
// Slower than what comes.
const slow = [];
await consume(stock, 'stock.sync', 50, (channel, m) => slow.push(() => channel.ack(m)));
every(200, () => !ending && slow.splice(0, 4).forEach((ack) => ack()));
// Gives everything back, over and over.
await consume(webhooks, 'webhooks', 5, (channel, m) => setTimeout(() => !ending && channel.reject(m, true), 100));

const persistent = { persistent: true, contentType: 'application/json', headers: { tenant: 'blue' } };
for (let i = 0; i < 1200; i++) out.publish('shop', 'payment.due', body({ id: i }), persistent);
for (let i = 0; i < 150; i++) out.publish('shop', 'mail.welcome', body({ id: i }), persistent);
for (let i = 0; i < 400; i++) out.publish('shop', 'stock.count', body({ id: i }), persistent);
for (let i = 0; i < 5; i++) out.publish('shop', 'hook.paid', body({ id: i }), persistent);
for (let i = 0; i < 60; i++) out.publish('shop.later', 'reminder.cart', body({ id: i }), { ...persistent, messageId: `reminder-${i}`, headers: { 'x-delay': 600_000 + i * 1_800_000 } });

let tick = 0;
const flow = every(50, () => {
  const wave = 8 + Math.round(4 * Math.sin(tick / 600));
  for (let i = 0; i < wave; i++) out.publish('shop', i % 3 ? 'order.new' : 'order.changed', body({ id: tick * 10 + i }), persistent);
  if (tick % 2 === 0) out.publish('shop', 'stock.count', body({}), persistent);
  if (tick % 2 === 0) out.publish('shop', 'stock.count', body({}), persistent);
  if (tick % 3 === 0) out.publish('shop', 'stock.count', body({}), persistent);
  if (tick % 5 === 0) out.publish('shop', 'mail.receipt', body({}), persistent);
  if (tick % 10 === 0) out.publish('shop', 'refund.new.late', body({}), persistent);
  tick += 1;
});

process.on('SIGTERM', async () => {
  ending = true;
  clearInterval(flow);
  await Promise.allSettled([producer, billing, stock, webhooks].map((c) => c.close()));
  process.exit(0);
});
process.stdout.write('flowing\n');
