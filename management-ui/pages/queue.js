import { argued, Arguments, Asks, Bindings, bytes, Card, consumeSnippet, count, del, Empty, Facts, Features, Flow, go, Head, html, link, Live, Messages, Missing, named, number, Opens, path, plural, Publish, rate, rateOf, Redrive, Stale, Table, Time, useFlow, usePoll, yes } from '../ui.js';

const CONSUMERS = [
	named('Consumer', (c) => html`<code>${c.consumer_tag}</code>`, 'consumer_tag'),
	{ key: 'channel', label: 'Channel', draw: (c) => (c.channel_details?.connection_name ? html`<a href=${link(['connection', c.channel_details.connection_name])}>${c.channel_details.name ?? c.channel_details.connection_name}</a>` : '–') },
	number('prefetch', 'Prefetch', 'prefetch_count', (n) => (n ? count(n) : html`<span title="No limit: the consumer is sent everything at once">none</span>`)),
	{ key: 'ack', label: 'Acknowledges', prio: 2, draw: (c) => (c.ack_required ? 'yes' : 'no (automatic)') },
	{ key: 'active', label: 'Activity', prio: 2, draw: (c) => html`<span class="tag">${c.activity_status}</span>${c.exclusive && html` <span class="tag">exclusive</span>`}` },
	argued(3),
];

export default function Queue({ parts: [vhost, name] }) {
	const at = `queues/${path(vhost, name)}`;
	const { poll, flow } = useFlow(at, at, (one) => [one, one.message_stats]);
	const bindings = usePoll(`${at}/bindings`, 15_000);
	const q = poll.data;

	if (!q) {
		return html`<${Missing} title=${name} error=${poll.error} gone=${`There is no queue ${name} in the virtual host ${vhost}.`} all="queues" />`;
	}
	const consumers = q.consumer_details ?? [];
	return html`
		<${Head} title=${name} note="in ${vhost}" actions=${html`
			<${Opens} class="primary" label="Publish" of=${(close) => html`<${Publish} vhost=${vhost} exchange="" routingKey=${name} onClose=${close} onDone=${poll.refresh} />`} />
			<${Opens} label="Redrive" disabled=${!q.messages_ready} title="Move messages to another queue, or back to where they came from" of=${(close) => html`<${Redrive} vhost=${vhost} queue=${name} ready=${q.messages_ready} onClose=${close} onDone=${poll.refresh} />`} />
			<${Asks} act="Purge" title="Purge ${name}?" run=${() => del(`${at}/contents`)} done="${name} is purged." after=${poll.refresh}
				says="Deletes ${plural(q.messages_ready, 'ready message')} of ${name} in ${vhost}; unacknowledged ones stay. This cannot be undone." />
			<${Asks} act="Delete" title="Delete ${name}?" type=${q.messages > 0 ? name : undefined} run=${() => del(at)} done="${name} is deleted." after=${() => go(['queues'])}
				says="Deletes ${name} in ${vhost}, its ${plural(q.messages, 'message')} and ${plural(bindings.data?.length ?? 0, 'binding')}; ${plural(q.consumers, 'consumer')} will be cancelled. This cannot be undone." />`}><${Features} q=${q} /><//>
		<${Stale} error=${poll.error} gone="This queue no longer exists" />
		<${Card} label="Now"><${Facts} facts=${[
			['Ready', html`<${Live} value=${count(q.messages_ready)} />`],
			['Unacked', html`<${Live} value=${count(q.messages_unacknowledged)} />`, 'Delivered, not yet acknowledged'],
			q.messages_delayed_retry > 0 && ['Retrying', count(q.messages_delayed_retry), 'Returned, waiting before they are delivered again'],
			['In', rate(rateOf(q, 'publish'))],
			['Out', rate(rateOf(q, 'deliver_get'))],
			['Redelivered', rate(rateOf(q, 'redeliver'))],
			['Consumers', html`<span class=${q.consumers === 0 && q.messages > 0 ? 'warn' : ''}>${count(q.consumers)}</span>`],
			['Body bytes', bytes(q.message_bytes)],
			['Memory', bytes(q.memory)],
		]} /><//>
		<${Flow} ...${flow} depth="Messages" />
		<${Card} title="Consumers">
			${consumers.length ? html`<${Table} label="Consumers" columns=${CONSUMERS} rows=${consumers} id=${(c) => `${c.channel_details?.name}\n${c.consumer_tag}`} />`
				: html`<${Empty} title="No consumer" folded of=${vhost} code=${consumeSnippet(name)}>Messages wait until one comes.<//>`}
		<//>
		<div class="two">
			<${Bindings} poll=${bindings} vhost=${vhost} destination=${name} />
			<${Card} title="Arguments and policy"><${Arguments} of=${q} where="queues" />
				<${Facts} small facts=${[
					['Kind', q.type], ['Durable', yes(q.durable)], ['State', q.state], ['Node', q.node],
					q.idle_since ? ['Idle since', html`<${Time} at=${Date.parse(q.idle_since)} />`] : null,
					q.single_active_consumer_tag ? ['Active consumer', q.single_active_consumer_tag] : null,
				]} /><//>
		</div>
		<${Messages} vhost=${vhost} queue=${name} onChange=${poll.refresh} />`;
}
