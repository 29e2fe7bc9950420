// What a queue looks like in any table.
import { bytes, count, history, html, link, rate, rateOf, recordFlow, short, signedRate } from '../lib/index.js';
import { Live } from './facts.js';
import { Spark } from './spark.js';

export const queueId = (q) => `${q.vhost}\n${q.name}`;
export const queueLink = (q) => link(['queue', q.vhost, q.name]);
export const queueRing = (q) => `queue:${queueId(q)}`;

export const recordQueue = (q) => recordFlow(queueRing(q), q, q.message_stats);

export const QueueSpark = ({ q, of = 'messages' }) => html`<${Spark} values=${history(queueRing(q)).series[of]} label="${of} of ${q.name}, recently" />`;

export function Features({ q }) {
	const a = q.arguments ?? {};
	const tags = [];
	if (q.type && q.type !== 'classic') tags.push([q.type, 'Queue type']);
	if (!q.durable) tags.push(['transient', 'Gone after a restart']);
	if (q.exclusive) tags.push(['exclusive', 'For one connection only']);
	if (q.auto_delete) tags.push(['auto-delete', 'Deleted with its last consumer']);
	if ('x-message-ttl' in a) tags.push(['TTL', `x-message-ttl ${a['x-message-ttl']} ms`]);
	if ('x-max-length' in a || 'x-max-length-bytes' in a) tags.push(['limit', 'Bounded length']);
	if ('x-dead-letter-exchange' in a) tags.push(['DLX', `Dead letters go to ${a['x-dead-letter-exchange'] || 'the default exchange'}`]);
	if ('x-max-priority' in a) tags.push(['priority', `0 to ${a['x-max-priority']}`]);
	if (a['x-single-active-consumer']) tags.push(['SAC', 'Single active consumer']);
	if (q.policy) tags.push([q.policy, 'Policy']);
	return html`<span class="tags">${tags.map(([t, title]) => html`<span class="tag" key=${t} title=${title}>${t}</span>`)}</span>`;
}

/** All columns of queues. */
export const QUEUE_COLUMNS = [
	{ key: 'name', label: 'Queue', sort: 'name', class: 'name', draw: (q) => html`<a href=${queueLink(q)}>${q.name}</a>` },
	{ key: 'vhost', label: 'Virtual host', sort: 'vhost', prio: 3, off: true },
	{ key: 'features', label: 'Features', prio: 3, draw: (q) => html`<${Features} q=${q} />` },
	{ key: 'state', label: 'State', sort: 'state', prio: 3, off: true, draw: (q) => html`<span class="tag ${['down', 'crashed', 'stopped'].includes(q.state) ? 'bad' : ''}">${q.state}</span>` },
	{ key: 'ready', label: 'Ready', num: true, sort: 'messages_ready', draw: (q) => short(q.messages_ready) },
	{ key: 'unacked', label: 'Unacked', num: true, sort: 'messages_unacknowledged', prio: 2, title: 'Delivered, not yet acknowledged', draw: (q) => short(q.messages_unacknowledged) },
	{ key: 'messages', label: 'Depth', num: true, sort: 'messages', prio: 2, off: true, draw: (q) => html`<${Live} value=${short(q.messages)} />` },
	{ key: 'growth', label: 'Growth', num: true, sort: 'messages_details.rate', prio: 3, draw: (q) => html`<span class=${q.messages_details?.rate >= 1 ? 'warn' : ''}>${signedRate(q.messages_details?.rate ?? 0)}</span>` },
	{ key: 'in', label: 'In', num: true, sort: 'message_stats.publish_details.rate', draw: (q) => rate(rateOf(q, 'publish')) },
	{ key: 'out', label: 'Out', num: true, sort: 'message_stats.deliver_get_details.rate', prio: 2, draw: (q) => rate(rateOf(q, 'deliver_get')) },
	{ key: 'ack', label: 'Acked', num: true, sort: 'message_stats.ack_details.rate', prio: 3, off: true, draw: (q) => rate(rateOf(q, 'ack')) },
	{ key: 'redeliver', label: 'Redelivered', num: true, sort: 'message_stats.redeliver_details.rate', prio: 3, off: true, draw: (q) => rate(rateOf(q, 'redeliver')) },
	{ key: 'consumers', label: 'Consumers', num: true, sort: 'consumers', draw: (q) => html`<span class=${q.consumers === 0 && q.messages > 0 ? 'warn' : ''}>${count(q.consumers)}</span>` },
	{ key: 'bytes', label: 'Body bytes', num: true, sort: 'message_bytes', prio: 3, off: true, draw: (q) => bytes(q.message_bytes) },
	{ key: 'memory', label: 'Memory', num: true, sort: 'memory', prio: 3, off: true, draw: (q) => bytes(q.memory) },
	{ key: 'spark', label: 'Depth lately', prio: 3, draw: (q) => html`<${QueueSpark} q=${q} />` },
];
