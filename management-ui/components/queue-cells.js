// What a queue looks like in any table.
import { history, html, link, rateOf, record } from '../lib/index.js';
import { Spark } from './spark.js';

export const queueId = (q) => `${q.vhost}\n${q.name}`;
export const queueLink = (q) => link(['queue', q.vhost, q.name]);
export const queueRing = (q) => `queue:${queueId(q)}`;

export function recordQueue(q) {
	record(queueRing(q), {
		messages: q.messages ?? 0,
		ready: q.messages_ready ?? 0,
		unacked: q.messages_unacknowledged ?? 0,
		in: rateOf(q, 'publish'),
		out: rateOf(q, 'deliver_get'),
		ack: rateOf(q, 'ack'),
	});
}

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
