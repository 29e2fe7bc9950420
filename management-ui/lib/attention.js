// What deserves a look, worst first. Pure: takes what the server said, gives sentences with a link.
import { bytes, count, plural, rate, rateOf, signedRate } from './format.js';
import { link } from './route.js';

/** A backlog smaller than this is not worth a sentence. */
const BACKLOG_MIN = 100;
/** Unacknowledged messages of one queue from which on a consumer is thought to hoard. */
const UNACKED_MIN = 1000;
/** Messages a second by which a queue must grow. */
const GROWTH_MIN = 1;

const page = (q) => link(['queue', q.vhost, q.name]);

/**
 * @param {{overview?: any, nodes?: any[], deepest?: any[], growing?: any[], unacked?: any[], looping?: any[], blocked?: any[]}} seen
 * @returns {Finding[]}
 */
export function findings({ overview, nodes = [], deepest = [], growing = [], unacked = [], looping = [], blocked = [] }) {
	const out = [];
	for (const n of nodes) {
		if (n.running === false) out.push({ level: 'bad', text: `Node ${n.name} is down.`, why: 'Its queues cannot be reached.' });
		if (n.mem_alarm) {
			out.push({ level: 'bad', text: 'Memory alarm: publishers are blocked.', why: `${bytes(n.mem_used)} used, the limit is ${bytes(n.mem_limit)}. Drain or purge the deepest queues.`, href: link(['queues'], { sort: 'message_bytes', desc: 1 }) });
		}
		if (n.disk_free_alarm) {
			out.push({ level: 'bad', text: 'Disk alarm: publishers are blocked.', why: `${bytes(n.disk_free)} free, the limit is ${bytes(n.disk_free_limit)}.`, href: link(['queues'], { sort: 'message_bytes', desc: 1 }) });
		}
		if (n.fd_total && n.fd_used / n.fd_total > 0.9) out.push({ level: 'warn', text: `${count(n.fd_used)} of ${count(n.fd_total)} file descriptors are used.`, why: 'New connections will be refused when they run out.' });
	}
	if (blocked.length) out.push({ level: 'bad', text: `${plural(blocked.length, 'connection is', 'connections are')} blocked.`, why: 'They may not publish until the alarm clears.', href: link(['connections'], { sort: 'state' }) });

	const named = new Set();
	for (const q of deepest) {
		if ((q.messages_ready ?? 0) >= BACKLOG_MIN && !q.consumers) {
			named.add(page(q));
			const more = q.messages_details?.rate >= GROWTH_MIN ? ` and growing by ${rate(q.messages_details.rate)}` : '';
			out.push({ level: more ? 'bad' : 'warn', text: `${q.name} has no consumer`, why: `${plural(q.messages_ready, 'message')} wait${more}.`, href: page(q) });
		}
	}
	for (const q of unacked) {
		if ((q.messages_unacknowledged ?? 0) >= UNACKED_MIN && q.messages_unacknowledged > (q.messages_ready ?? 0) / 2) {
			out.push({ level: 'warn', text: `${q.name} has ${count(q.messages_unacknowledged)} unacknowledged messages`, why: `${plural(q.consumers ?? 0, 'consumer')} took them and did not acknowledge.`, href: page(q) });
		}
	}
	for (const q of growing) {
		if (named.has(page(q))) continue;
		if ((q.messages_details?.rate ?? 0) >= GROWTH_MIN && (q.messages ?? 0) >= BACKLOG_MIN) {
			out.push({ level: 'warn', text: `${q.name} grows by ${signedRate(q.messages_details.rate)}`, why: `${count(q.messages)} messages; in ${rate(rateOf(q, 'publish'))}, out ${rate(rateOf(q, 'deliver_get'))}.`, href: page(q) });
		}
	}
	for (const q of looping) {
		const again = rateOf(q, 'redeliver');
		if (again >= 1 && again > rateOf(q, 'ack')) {
			out.push({ level: 'warn', text: `${q.name} redelivers ${rate(again)}`, why: 'More than is acknowledged: a consumer may be rejecting the same messages over and over.', href: page(q) });
		}
	}
	const returned = rateOf(overview, 'return_unroutable');
	const dropped = rateOf(overview, 'drop_unroutable');
	if (dropped > 0) out.push({ level: 'warn', text: `${rate(dropped)} unroutable messages are dropped`, why: 'No binding matches them, and they were published without mandatory.', href: link(['exchanges']) });
	if (returned > 0) out.push({ level: 'warn', text: `${rate(returned)} unroutable messages are returned`, why: 'No binding matches them.', href: link(['exchanges']) });
	return out.sort((a, b) => (a.level === b.level ? 0 : a.level === 'bad' ? -1 : 1));
}
