// What the overview finds worth a look, from what a server might say.
import assert from 'node:assert/strict';
import { test } from 'node:test';

globalThis.location = { hash: '' };
globalThis.addEventListener = () => {};
const { findings } = await import('../../management-ui/lib/attention.js');

const queue = (more) => ({ name: 'q', vhost: '/', messages: 0, messages_ready: 0, messages_unacknowledged: 0, consumers: 1, messages_details: { rate: 0 }, message_stats: {}, ...more });
const still = (more) => queue({ vhost: 'v', messages: 42_000, messages_ready: 39_000, messages_unacknowledged: 3000, message_stats: { ack_details: { rate: 0, samples: [{ sample: 7 }, { sample: 7 }] } }, ...more });
const rates = (of) => ({ message_stats: Object.fromEntries(Object.entries(of).map(([key, rate]) => [`${key}_details`, { rate }])) });

for (const [what, seen, words] of [
  ['nothing at rest', { deepest: [queue({ messages: 10, messages_ready: 10 })] }, null],
  ['a queue without consumer', { deepest: [queue({ messages: 500, messages_ready: 500, consumers: 0 })] }, 'has no consumer'],
  ['a queue that stands still', { deepest: [still()] }, 'q in v is stalled'],
  ['no standstill where something is given out', { deepest: [still(rates({ deliver_get: 1 }))] }, null],
  ['no standstill where something was acknowledged', { deepest: [still({ message_stats: { ack_details: { rate: 0, samples: [{ sample: 8 }, { sample: 7 }] } } })] }, null],
  ['no standstill of which too little is known', { deepest: [still({ message_stats: { ack_details: { rate: 0, samples: [{ sample: 7 }] } } })] }, null],
  ['a growing queue', { deepest: [queue({ messages: 500, messages_details: { rate: 9 } })] }, 'grows by'],
  ['a hoarder', { deepest: [queue({ messages: 5000, messages_unacknowledged: 5000 })] }, 'unacknowledged'],
  ['a loop', { looping: [queue(rates({ redeliver: 50, ack: 1 }))] }, 'redelivers'],
  ['no loop where most is acknowledged', { looping: [queue(rates({ redeliver: 5, ack: 100 }))] }, null],
  ['what is dropped', { overview: rates({ drop_unroutable: 2 }) }, 'are dropped'],
  ['what is returned', { overview: rates({ return_unroutable: 2 }) }, 'are returned'],
  ['a blocked connection', { blocked: [{ name: 'c', state: 'blocked' }] }, 'is blocked'],
  ['a memory alarm', { nodes: [{ name: 'n', mem_alarm: true, mem_used: 10, mem_limit: 9 }] }, 'Memory alarm'],
  ['a disk alarm', { nodes: [{ name: 'n', disk_free_alarm: true, disk_free: 1, disk_free_limit: 9 }] }, 'Disk alarm'],
  ['a queue without a definition', { lost: [{ id: 7, messages: 30, last_known: { kind: 'queue', vhost: '/', name: 'q' } }] }, '30 messages of a lost queue'],
  ['a queue of which nothing is known', { lost: [{ id: 7, messages: 1 }] }, '1 message of a lost queue'],
  ['a definition that cannot be read', { lost: [{ definition: 'queue / q', reason: 'nonsense' }] }, 'queue / q cannot be read'],
  ['drift', { drift: 2 }, '2 objects not as declared'],
  ['no drift', { drift: 0 }, null],
  ['few descriptors left', { nodes: [{ name: 'n', fd_used: 95, fd_total: 100 }] }, 'file descriptors'],
]) {
  test(`${what} is ${words ? 'told' : 'not told'}`, () => {
    const found = findings(seen);
    assert.deepEqual(found.length, words ? 1 : 0, JSON.stringify(found));
    if (words) assert.ok(found[0].text.includes(words), found[0].text);
  });
}

test('what is worst comes first', () => {
  const found = findings({ overview: rates({ drop_unroutable: 2 }), nodes: [{ name: 'n', mem_alarm: true }] });
  assert.deepEqual(found.map((f) => f.level), ['bad', 'warn']);
});

test('many queues with one trouble are one line, which counts them all and names the deepest', () => {
  const deepest = Array.from({ length: 21 }, (_, i) => queue({ name: `q${i}`, vhost: i ? '/' : 'v', messages: 500 - i, messages_ready: 500 - i, consumers: 0 }));
  const [line, ...more] = findings({ deepest });
  assert.deepEqual(more, []);
  assert.equal(line.text, '21 queues have no consumer');
  assert.equal(line.why, 'The deepest: q0 in v (500), q1 (499), q2 (498).');
  assert.equal(findings({ deepest: Array(500).fill(deepest[1]).map((q) => ({ ...q })) })[0].text, 'At least 500 queues have no consumer');
});

test('a queue that stands still is told once, with the consumer that holds its messages', () => {
  const holder = { queue: { vhost: 'v', name: 'q' }, text: 'worker holds 3,000.', href: '#/connection/c' };
  const [line, ...more] = findings({ deepest: [still(), queue({ messages: 1, name: 'other' })], holder, chosen: 'v' });
  assert.deepEqual(more, []);
  assert.deepEqual([line.text, line.why, line.by], ['q is stalled', '39,000 messages waiting, nothing acknowledged for 30 s.', holder]);
});
