import { bytes, count, Empty, Features, FormDialog, go, html, Icon, List, parseArguments, path, publishSnippet, put, queueId, queueLink, QueueSpark, rate, rateOf, recordQueue, short, signedRate, toast, useSignal, useState, useVhostField, vhost, within } from '../ui.js';

const COLUMNS = [
	{ key: 'name', label: 'Queue', sort: 'name', class: 'name', draw: (q) => html`<a href=${queueLink(q)}>${q.name}</a>` },
	{ key: 'vhost', label: 'Virtual host', sort: 'vhost', prio: 3, off: true },
	{ key: 'features', label: 'Features', prio: 3, draw: (q) => html`<${Features} q=${q} />` },
	{ key: 'state', label: 'State', sort: 'state', prio: 3, off: true, draw: (q) => html`<span class="tag ${['down', 'crashed', 'stopped'].includes(q.state) ? 'bad' : ''}">${q.state}</span>` },
	{ key: 'ready', label: 'Ready', num: true, sort: 'messages_ready', draw: (q) => short(q.messages_ready) },
	{ key: 'unacked', label: 'Unacked', num: true, sort: 'messages_unacknowledged', prio: 2, title: 'Delivered, not yet acknowledged', draw: (q) => short(q.messages_unacknowledged) },
	{ key: 'messages', label: 'Total', num: true, sort: 'messages', prio: 2, off: true, draw: (q) => short(q.messages) },
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

function Declare({ onClose }) {
	const vhostField = useVhostField();
	const declare = async (v) => {
		const args = parseArguments(v.arguments);
		await put(`queues/${path(v.vhost, v.name)}`, { durable: v.durable, auto_delete: v.auto_delete, arguments: args });
		toast(`Queue ${v.name} is there.`);
		go(['queue', v.vhost, v.name]);
	};
	return html`<${FormDialog} title="Declare a queue" submit="Declare" onSubmit=${declare} onClose=${onClose} fields=${[
		vhostField,
		{ name: 'name', label: 'Name', required: true, wide: true },
		{ name: 'durable', label: 'Durable', kind: 'checkbox', value: true, hint: 'Survives a restart.' },
		{ name: 'auto_delete', label: 'Auto-delete', kind: 'checkbox', hint: 'Deleted with its last consumer.' },
		{ name: 'arguments', label: 'Arguments', kind: 'textarea', mono: true, wide: true, placeholder: 'x-message-ttl=60000\nx-dead-letter-exchange=dead', hint: 'One key=value a line.' },
	]} />`;
}

export default function Queues() {
	const chosen = useSignal(vhost);
	const [declaring, setDeclaring] = useState(false);
	return html`
		<div class="head"><h1>Queues</h1><span class="spacer" /><button class="primary" onClick=${() => setDeclaring(true)}><${Icon} name="plus" />Declare a queue</button></div>
		<${List} id="queues" what="queues" where=${within('queues', chosen)} columns=${COLUMNS} rowId=${queueId} sort="name"
			onRows=${(rows) => rows.forEach(recordQueue)}
			empty=${html`<${Empty} title="No queue yet" code=${publishSnippet('', 'hello')}>Clients declare queues; so can you, with the button above. This declares one and publishes to it:<//>`} />
		${declaring && html`<${Declare} onClose=${() => setDeclaring(false)} />`}`;
}
