// What needs attention, worst first.
import { bytes, count, plural, rate, rateOf, signedRate } from './format.js';
import { link } from './route.js';

/** Fewer are no backlog. */
export const BACKLOG_MIN = 100;
/** Unacknowledged messages from which on a consumer is thought to hoard. */
const UNACKED_MIN = 1000;
/** Messages a second. */
const GROWTH_MIN = 1;

const LARGEST = link(['queues'], { sort: 'message_bytes', desc: 1 });
const page = (q) => link(['queue', q.vhost, q.name]);

/** @param {Seen} seen @returns {Finding[]} */
export function findings({ overview, drift, nodes = [], deepest = [], growing = [], unacked = [], looping = [], blocked = [], lost = [] }) {
	/** @type {Finding[]} */
	const out = [];
	/** @type {AddFinding} */
	const add = (level, text, why, href) => out.push({ level, text, why, href });
	for (const n of nodes) {
		if (n.mem_alarm) {
			add('bad', 'Memory alarm: publishers are blocked.', `${bytes(n.mem_used)} used, the limit is ${bytes(n.mem_limit)}. Drain or purge the deepest queues.`, LARGEST);
		}
		if (n.disk_free_alarm) {
			add('bad', 'Disk alarm: publishers are blocked.', `${bytes(n.disk_free)} free, the limit is ${bytes(n.disk_free_limit)}.`, LARGEST);
		}
		if (n.fd_total && n.fd_used / n.fd_total > 0.9) add('warn', `${count(n.fd_used)} of ${count(n.fd_total)} file descriptors are used.`, 'New connections will be refused when they run out.');
	}
	if (blocked.length) add('bad', `${plural(blocked.length, 'connection is', 'connections are')} blocked.`, 'They may not publish until the alarm clears.', link(['connections'], { sort: 'state' }));

	for (const q of lost) {
		const was = q.last_known;
		if (q.definition) add('bad', `Definition ${q.definition} cannot be read`, q.reason);
		else add('bad', `${plural(q.messages, 'message')} of a lost queue`, `${was ? `It was ${was.name} in ${was.vhost}. ` : ''}leveret ctl lost adopt ${q.id} NAME, or discard ${q.id}.`);
	}

	const named = new Set();
	for (const q of deepest) {
		if ((q.messages_ready ?? 0) >= BACKLOG_MIN && !q.consumers) {
			named.add(page(q));
			const more = q.messages_details?.rate >= GROWTH_MIN ? ` and growing by ${rate(q.messages_details.rate)}` : '';
			add(more ? 'bad' : 'warn', `${q.name} has no consumer`, `${plural(q.messages_ready, 'message')} wait${more}.`, page(q));
		}
	}
	for (const q of unacked) {
		if ((q.messages_unacknowledged ?? 0) >= UNACKED_MIN && q.messages_unacknowledged > (q.messages_ready ?? 0) / 2) {
			add('warn', `${q.name} has ${count(q.messages_unacknowledged)} unacknowledged messages`, `${plural(q.consumers ?? 0, 'consumer')} took them and did not acknowledge.`, page(q));
		}
	}
	for (const q of growing) {
		if (named.has(page(q))) continue;
		if ((q.messages_details?.rate ?? 0) >= GROWTH_MIN && (q.messages ?? 0) >= BACKLOG_MIN) {
			add('warn', `${q.name} grows by ${signedRate(q.messages_details.rate)}`, `${count(q.messages)} messages; in ${rate(rateOf(q, 'publish'))}, out ${rate(rateOf(q, 'deliver_get'))}.`, page(q));
		}
	}
	for (const q of looping) {
		const again = rateOf(q, 'redeliver');
		if (again >= 1 && again > rateOf(q, 'ack')) {
			add('warn', `${q.name} redelivers ${rate(again)}`, 'More than is acknowledged: a consumer may be rejecting the same messages over and over.', page(q));
		}
	}
	if (drift) add('warn', `${plural(drift, 'object')} not as declared`, '', '#/topology');
	const returned = rateOf(overview, 'return_unroutable');
	const dropped = rateOf(overview, 'drop_unroutable');
	if (dropped > 0) add('warn', `${rate(dropped)} unroutable messages are dropped`, 'No binding matches them, and they were published without mandatory.', link(['exchanges']));
	if (returned > 0) add('warn', `${rate(returned)} unroutable messages are returned`, 'No binding matches them.', link(['exchanges']));
	return out.sort((a, b) => (a.level === b.level ? 0 : a.level === 'bad' ? -1 : 1));
}
