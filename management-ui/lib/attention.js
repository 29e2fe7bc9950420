// What needs attention, worst first.
import { bytes, count, plural, rate, rateOf, signedRate } from './format.js';
import { link } from './route.js';

/** Fewer are no backlog. */
export const BACKLOG_MIN = 100;
/** Unacknowledged messages from which on a consumer is thought to hoard. */
const UNACKED_MIN = 1000;
/** Messages a second. */
const GROWTH_MIN = 1;
/** More queues with the same trouble are told in one line. */
const ALONE_MAX = 3;
const STALL_S = 30;

const largest = (by) => link(['queues'], { sort: by, desc: 1 });
const page = (q) => link(['queue', q.vhost, q.name]);

/** Asks for the deepest queues, with what tells whether they stand still. */
export const DEEP = {
	page: 1, page_size: 500, sort: 'messages', sort_reverse: true, msg_rates_age: STALL_S, msg_rates_incr: STALL_S,
	columns: 'name,vhost,consumers,messages,messages_ready,messages_unacknowledged,messages_details,message_stats.publish_details.rate,message_stats.deliver_get_details.rate,message_stats.redeliver_details.rate,message_stats.ack_details',
};

/** Has consumers and a backlog, gives nothing out, and had nothing acknowledged for half a minute. */
export function isStalled(q) {
	const acked = q.message_stats?.ack_details?.samples ?? [];
	return q.consumers > 0 && q.messages_ready >= BACKLOG_MIN && !rateOf(q, 'deliver_get') && acked.length > 1 && acked[0].sample === acked.at(-1).sample;
}

/** Whose consumers took many and did not acknowledge. */
export const isHoarded = (q) => q.messages_unacknowledged >= UNACKED_MIN && q.messages_unacknowledged > q.messages_ready / 2;

/** @param {Seen} seen @returns {Finding[]} */
export function findings({ overview, chosen, drift, nodes = [], deepest = [], looping = [], blocked = [], lost = [], holder }) {
	/** @type {Finding[]} */
	const out = [];
	/** @type {AddFinding} */
	const add = (level, text, why, href, by) => out.push({ level, text, why, href, by });
	for (const n of nodes) {
		if (n.mem_alarm) {
			add('bad', 'Memory alarm: publishers are blocked.', `${bytes(n.mem_used)} used, the limit is ${bytes(n.mem_limit)}. Drain or purge the deepest queues.`, largest('message_bytes'));
		}
		if (n.disk_free_alarm) {
			add('bad', 'Disk alarm: publishers are blocked.', `${bytes(n.disk_free)} free, the limit is ${bytes(n.disk_free_limit)}.`, largest('message_bytes'));
		}
		if (n.fd_total && n.fd_used / n.fd_total > 0.9) add('warn', `${count(n.fd_used)} of ${count(n.fd_total)} file descriptors are used.`, 'New connections will be refused when they run out.');
	}
	if (blocked.length) add('bad', `${plural(blocked.length, 'connection is', 'connections are')} blocked.`, 'They may not publish until the alarm clears.', link(['connections'], { sort: 'state' }));

	for (const q of lost) {
		const was = q.last_known;
		if (q.definition) add('bad', `Definition ${q.definition} cannot be read`, q.reason);
		else add('bad', `${plural(q.messages, 'message')} of a lost queue`, `${was ? `It was ${was.name} in ${was.vhost}. ` : ''}leveret ctl lost adopt ${q.id} NAME, or discard ${q.id}.`);
	}

	const called = (q) => (chosen || q.vhost === '/' ? q.name : `${q.name} in ${q.vhost}`);
	const growth = (q) => q.messages_details?.rate ?? 0;
	const grows = (q) => growth(q) >= GROWTH_MIN;
	const waiting = (q) => `${plural(q.messages_ready, 'message')} waiting${grows(q) ? `, growing by ${rate(growth(q))}` : ''}`;
	const told = new Set();
	/** Each alone, or many in one line. @type {Group} */
	const group = (is, graver, one, many, by = 'messages_ready') => {
		const these = deepest.filter((q) => !told.has(q) && is(q));
		these.forEach((q) => told.add(q));
		const level = (of) => (graver && of.some(grows) ? 'bad' : 'warn');
		if (these.length > ALONE_MAX) add(level(these), `${deepest.length < DEEP.page_size ? '' : 'At least '}${count(these.length)} queues ${many}`, `The deepest: ${these.slice(0, ALONE_MAX).map((q) => `${called(q)} (${count(q.messages)})`).join(', ')}.`, largest(by));
		else for (const q of these) add(level([q]), `${called(q)} ${one(q)[0]}`, one(q)[1], page(q), holder && page(holder.queue) === page(q) ? holder : undefined);
	};
	group((q) => q.messages_ready >= BACKLOG_MIN && !q.consumers, true, (q) => ['has no consumer', `${waiting(q)}.`], 'have no consumer');
	group(isStalled, true, (q) => ['is stalled', `${waiting(q)}, nothing acknowledged for ${STALL_S} s.`], `have consumers that acknowledged nothing for ${STALL_S} s`);
	group(isHoarded, false, (q) => [`has ${count(q.messages_unacknowledged)} unacknowledged messages`, `${plural(q.consumers, 'consumer')} took them and did not acknowledge.`], `have ${count(UNACKED_MIN)} unacknowledged messages or more`, 'messages_unacknowledged');
	group((q) => grows(q) && q.messages >= BACKLOG_MIN, false, (q) => [`grows by ${signedRate(growth(q))}`, `${count(q.messages)} messages; in ${rate(rateOf(q, 'publish'))}, out ${rate(rateOf(q, 'deliver_get'))}.`], 'are growing', 'messages_details.rate');
	for (const q of looping) {
		const again = rateOf(q, 'redeliver');
		if (again >= 1 && again > rateOf(q, 'ack')) {
			add('warn', `${called(q)} redelivers ${rate(again)}`, 'More than is acknowledged: a consumer may be rejecting the same messages over and over.', page(q));
		}
	}
	if (drift) add('warn', `${plural(drift, 'object')} not as declared`, '', '#/topology');
	const returned = rateOf(overview, 'return_unroutable');
	const dropped = rateOf(overview, 'drop_unroutable');
	const where = chosen ? ' In all virtual hosts together.' : '';
	if (dropped > 0) add('warn', `${rate(dropped)} unroutable messages are dropped`, `No binding matches them, and they were published without mandatory.${where}`, link(['exchanges']));
	if (returned > 0) add('warn', `${rate(returned)} unroutable messages are returned`, `No binding matches them.${where}`, link(['exchanges']));
	return out.sort((a, b) => (a.level === b.level ? 0 : a.level === 'bad' ? -1 : 1));
}
