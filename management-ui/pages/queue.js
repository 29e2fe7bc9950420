import { Arguments, Bindings, bytes, confirm, consumeSnippet, count, del, Empty, Facts, Features, Flow, go, html, link, Live, Messages, Missing, path, plural, Problem, Publish, queueRing, rate, rateOf, Redrive, Span, Table, time, useFlow, usePoll, useState, utc } from '../ui.js';

const CONSUMERS = [
	{ key: 'consumer_tag', label: 'Consumer', sort: 'consumer_tag', class: 'name', draw: (c) => html`<code>${c.consumer_tag}</code>` },
	{ key: 'channel', label: 'Channel', draw: (c) => (c.channel_details?.connection_name ? html`<a href=${link(['connection', c.channel_details.connection_name])}>${c.channel_details.name ?? c.channel_details.connection_name}</a>` : '–') },
	{ key: 'prefetch_count', label: 'Prefetch', num: true, sort: 'prefetch_count', draw: (c) => (c.prefetch_count ? count(c.prefetch_count) : html`<span title="No limit: the consumer is sent everything at once">none</span>`) },
	{ key: 'ack', label: 'Acknowledges', prio: 2, draw: (c) => (c.ack_required ? 'yes' : 'no (automatic)') },
	{ key: 'active', label: 'Activity', prio: 2, draw: (c) => html`<span class="tag">${c.activity_status ?? (c.active === false ? 'waiting' : 'up')}</span>${c.exclusive && html` <span class="tag">exclusive</span>`}` },
	{ key: 'arguments', label: 'Arguments', prio: 3, draw: (c) => Object.keys(c.arguments ?? {}).length > 0 && html`<code>${JSON.stringify(c.arguments)}</code>` },
];

export default function Queue({ parts: [vhost, name] }) {
	const at = `queues/${path(vhost, name)}`;
	const [publishing, setPublishing] = useState(false);
	const [redriving, redrive] = useState(false);
	const { poll, flow } = useFlow(at, queueRing({ vhost, name }), (one) => [one, one.message_stats]);
	const bindings = usePoll(`${at}/bindings`, undefined, 15_000);
	const q = poll.data;

	const purge = () => confirm({
		title: `Purge ${name}?`,
		says: `${plural(q.messages_ready ?? 0, 'ready message')} in the queue ${name} (virtual host ${vhost}) will be lost. Unacknowledged ones stay.`,
		act: 'Purge',
		run: () => del(`${at}/contents`),
		done: `${name} is purged.`,
		after: poll.refresh,
	});
	const remove = () => confirm({
		title: `Delete ${name}?`,
		says: `The queue ${name} (virtual host ${vhost}) goes, with ${plural(q.messages ?? 0, 'message')}, ${plural(bindings.data?.length ?? 0, 'binding')} and ${plural(q.consumers ?? 0, 'consumer')}.`,
		act: 'Delete',
		type: q.messages > 0 ? name : undefined,
		run: () => del(at),
		done: `${name} is deleted.`,
		after: () => go(['queues']),
	});

	if (!q) {
		return html`<${Missing} title=${name} error=${poll.error} gone=${`There is no queue ${name} in the virtual host ${vhost}.`} all="queues" />`;
	}
	const consumers = q.consumer_details ?? [];
	return html`
		<div class="head"><h1>${name}</h1><span class="muted">in ${vhost}</span><${Features} q=${q} /><span class="spacer" /><${Span} ...${flow} />
			<div class="row actions"><button class="primary" onClick=${() => setPublishing(true)}>Publish</button>
				<button onClick=${() => redrive(true)} disabled=${!q.messages_ready} title="Move messages to another queue, or back to where they came from">Redrive</button><button class="danger" onClick=${purge}>Purge</button><button class="danger" onClick=${remove}>Delete</button></div></div>
		${poll.error && poll.error.status !== 0 && html`<${Problem} error=${poll.error.status === 404 ? new Error('This queue no longer exists; what you see is its last state.') : poll.error} />`}
		<section class="card" aria-label="Now"><${Facts} facts=${[
			['Ready', html`<${Live} value=${count(q.messages_ready ?? 0)} />`],
			['Unacked', html`<${Live} value=${count(q.messages_unacknowledged ?? 0)} />`, 'Delivered, not yet acknowledged'],
			['In', rate(rateOf(q, 'publish'))],
			['Out', rate(rateOf(q, 'deliver_get'))],
			['Redelivered', rate(rateOf(q, 'redeliver'))],
			['Consumers', html`<span class=${q.consumers === 0 && q.messages > 0 ? 'warn' : ''}>${count(q.consumers ?? 0)}</span>`],
			['Body bytes', bytes(q.message_bytes)],
			['Memory', bytes(q.memory)],
		]} /></section>
		<${Flow} ...${flow} />
		<section class="card"><header><h2>Consumers</h2>${q.consumer_utilisation !== undefined && q.consumer_utilisation !== null && q.consumers > 0 && html`<span class="muted" title="Share of the time in which a message could be delivered at once">capacity ${Math.round(q.consumer_utilisation * 100)} %</span>`}</header>
			${consumers.length ? html`<${Table} label="Consumers" columns=${CONSUMERS} rows=${consumers} id=${(c) => `${c.channel_details?.name}\n${c.consumer_tag}`} />`
				: html`<${Empty} title="No consumer" folded code=${consumeSnippet(name)}>Messages wait until one comes.<//>`}
		</section>
		<div class="two">
			<${Bindings} poll=${bindings} vhost=${vhost} destination=${name} />
			<section class="card"><header><h2>Arguments and policy</h2></header><${Arguments} of=${q} where="queues" />
				<${Facts} small facts=${[
					['Kind', q.type ?? 'classic'], ['Durable', q.durable ? 'yes' : 'no'], ['State', q.state ?? '–'], ['Node', q.node ?? '–'],
					q.idle_since ? ['Idle since', html`<span title=${utc(Date.parse(q.idle_since))}>${time(Date.parse(q.idle_since))}</span>`] : null,
					q.single_active_consumer_tag ? ['Active consumer', q.single_active_consumer_tag] : null,
				]} /></section>
		</div>
		<${Messages} vhost=${vhost} queue=${name} onChange=${poll.refresh} />
		${redriving && html`<${Redrive} vhost=${vhost} queue=${name} ready=${q.messages_ready ?? 0} onClose=${() => redrive(false)} onDone=${poll.refresh} />`}
		${publishing && html`<${Publish} vhost=${vhost} exchange="" routingKey=${name} onClose=${() => setPublishing(false)} onDone=${poll.refresh} />`}`;
}
