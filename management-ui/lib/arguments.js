// What queue, exchange and policy arguments mean, in words.
import { bytes, count, duration } from './format.js';

/** @type {Record<string, {says: (v: any) => string, type: 'int' | 'text' | 'bool'}>} */
export const MEANINGS = {
  'x-message-ttl': { type: 'int', says: (v) => `Messages expire after ${duration(v)} in the queue.` },
  'message-ttl': { type: 'int', says: (v) => `Messages expire after ${duration(v)} in the queue.` },
  'x-expires': { type: 'int', says: (v) => `The queue is deleted after ${duration(v)} without use.` },
  expires: { type: 'int', says: (v) => `The queue is deleted after ${duration(v)} without use.` },
  'x-max-length': { type: 'int', says: (v) => `Holds at most ${count(v)} ready messages.` },
  'max-length': { type: 'int', says: (v) => `Holds at most ${count(v)} ready messages.` },
  'x-max-length-bytes': { type: 'int', says: (v) => `Holds at most ${bytes(v)} of ready bodies.` },
  'max-length-bytes': { type: 'int', says: (v) => `Holds at most ${bytes(v)} of ready bodies.` },
  'x-overflow': { type: 'text', says: overflow },
  overflow: { type: 'text', says: overflow },
  'x-dead-letter-exchange': { type: 'text', says: (v) => `Rejected, expired and surplus messages go to ${v === '' ? 'the default exchange' : v}.` },
  'dead-letter-exchange': { type: 'text', says: (v) => `Rejected, expired and surplus messages go to ${v === '' ? 'the default exchange' : v}.` },
  'x-dead-letter-routing-key': { type: 'text', says: (v) => `Dead letters carry the routing key ${v}.` },
  'dead-letter-routing-key': { type: 'text', says: (v) => `Dead letters carry the routing key ${v}.` },
  'x-max-priority': { type: 'int', says: (v) => `Priorities 0 to ${v}; higher ones are delivered first.` },
  'x-single-active-consumer': { type: 'bool', says: (v) => (v ? 'One consumer at a time gets messages; the others wait.' : 'All consumers share the messages.') },
  'x-delivery-limit': { type: 'int', says: (v) => `After ${count(v)} failed deliveries a message is dead-lettered or dropped.` },
  'delivery-limit': { type: 'int', says: (v) => `After ${count(v)} failed deliveries a message is dead-lettered or dropped.` },
  'x-consumer-timeout': { type: 'int', says: (v) => `A consumer must acknowledge within ${duration(v)}.` },
  'x-queue-type': { type: 'text', says: (v) => `Declared as a ${v} queue.` },
  'x-queue-mode': { type: 'text', says: () => 'Accepted for old clients; has no effect.' },
  'x-max-age': { type: 'text', says: (v) => `Messages older than ${v} are removed.` },
  'alternate-exchange': { type: 'text', says: (v) => `What routes nowhere goes to ${v}.` },
  'x-delayed-type': { type: 'text', says: (v) => `Holds messages for their x-delay, then routes as ${v}.` },
};

/** @param {string} v */
function overflow(v) {
  if (v === 'reject-publish') return 'When full, new messages are refused (basic.nack).';
  if (v === 'reject-publish-dlx') return 'When full, new messages are refused and dead-lettered.';
  return 'When full, the oldest messages make room.';
}

/** @param {string} key @param {unknown} value */
export const meaning = (key, value) => MEANINGS[key]?.says(value) ?? '';

/**
 * Reads `key=value` lines as arguments. Numbers, true, false and JSON become what they look like; quotes keep text text.
 * @param {string} text
 * @returns {Record<string, unknown>}
 */
export function parseArguments(text) {
  /** @type {Record<string, unknown>} */
  const out = {};
  for (const line of text.split('\n')) {
    if (!line.trim()) continue;
    const at = line.indexOf('=');
    if (at < 1) throw new Error(`“${line.trim()}” is not key=value.`);
    const key = line.slice(0, at).trim();
    const raw = line.slice(at + 1).trim();
    const kind = MEANINGS[key]?.type;
    if (kind === 'text' && !/^["{[]/.test(raw)) {
      out[key] = raw;
      continue;
    }
    try {
      out[key] = JSON.parse(raw);
    } catch {
      out[key] = raw;
    }
  }
  return out;
}
