// What a queue looks like in any table.
import { bytes, count, flowing, history, html, items, link, named, number, plain, recordFlow, samplesQuery, seedFlow, short, signedRate, usePoll, VHOST } from '../lib.js';
import { inVhost, Tags } from './card.js';
import { Live } from './facts.js';
import { Spark } from './spark.js';

export const queueId = (q) => `${q.vhost}\n${q.name}`;
export const queueLink = (q) => link(['queue', q.vhost, q.name]);
/** Rows know less of the past than the page of one queue does. */
const sparkRing = (q) => `spark:${queueId(q)}`;
export const recordQueue = (q) => recordFlow(sparkRing(q), q, q.message_stats);

/** Seconds that a sparkline shows. */
const SPARK_S = 300;

/** Fills the sparklines of a page of queues with what the server remembers, in one call. */
export const usePast = (where, asked) => usePoll(where, 0, { ...asked, ...samplesQuery(SPARK_S, 5), columns: 'name,vhost,messages_details.samples,message_stats.publish_details.samples' },
	(d) => items(d).forEach((q) => seedFlow(sparkRing(q), q, q.message_stats)));

export const QueueSpark = ({ q, of = 'messages' }) => html`<${Spark} values=${history(sparkRing(q)).map((s) => s[of])} label="${of} of ${q.name}, last 5 minutes" />`;

export function Features({ q }) {
	const a = q.arguments ?? {};
	return html`<${Tags} of=${[
		q.type && q.type !== 'classic' && [q.type, 'Queue type'],
		!q.durable && ['transient', 'Gone after a restart'],
		q.exclusive && ['exclusive', 'For one connection only'],
		q.auto_delete && ['auto-delete', 'Deleted with its last consumer'],
		'x-message-ttl' in a && ['TTL', `x-message-ttl ${a['x-message-ttl']} ms`],
		('x-max-length' in a || 'x-max-length-bytes' in a) && ['limit', 'Bounded length'],
		'x-dead-letter-exchange' in a && ['DLX', `Dead letters go to ${a['x-dead-letter-exchange'] || 'the default exchange'}`],
		'x-max-priority' in a && ['priority', `0 to ${a['x-max-priority']}`],
		a['x-single-active-consumer'] && ['SAC', 'Single active consumer'],
		q.policy && [q.policy, 'Policy'],
	]} />`;
}

const OFF = { prio: 3, off: true };

/** All columns of queues. */
export const QUEUE_COLUMNS = [
	named('Queue', (q) => html`<a href=${queueLink(q)}>${q.name}</a>${inVhost(q)}`),
	VHOST,
	{ key: 'features', label: 'Features', prio: 3, draw: (q) => html`<${Features} q=${q} />` },
	plain('state', 'State', OFF),
	number('ready', 'Ready', 'messages_ready', short),
	number('unacked', 'Unacked', 'messages_unacknowledged', short, { prio: 2, title: 'Delivered, not yet acknowledged' }),
	number('retrying', 'Retrying', 'messages_delayed_retry', short, { ...OFF, title: 'Returned, waiting before they are delivered again' }),
	number('messages', 'Depth', 'messages', (n) => html`<${Live} value=${short(n)} />`, { prio: 2, off: true }),
	number('growth', 'Growth', 'messages_details.rate', (n = 0) => html`<span class=${n >= 1 ? 'warn' : ''}>${signedRate(n)}</span>`, { prio: 3 }),
	flowing('in', 'In', 'publish'),
	flowing('out', 'Out', 'deliver_get', { prio: 2 }),
	flowing('ack', 'Acked', 'ack', OFF),
	flowing('redeliver', 'Redelivered', 'redeliver', OFF),
	{ ...number('consumers', 'Consumers', 'consumers'), draw: (q) => html`<span class=${q.consumers === 0 && q.messages > 0 ? 'warn' : ''}>${count(q.consumers)}</span>` },
	number('bytes', 'Body bytes', 'message_bytes', bytes, OFF),
	number('memory', 'Memory', 'memory', bytes, OFF),
	{ key: 'spark', label: 'Depth (5 min)', prio: 3, class: 'sparks', draw: (q) => html`<${QueueSpark} q=${q} />` },
];
