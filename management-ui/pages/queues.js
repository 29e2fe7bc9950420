import { Empty, FormDialog, go, html, Icon, List, parseArguments, path, publishSnippet, put, QUEUE_COLUMNS, queueId, recordQueue, toast, useSignal, useState, useVhostField, vhost, within } from '../ui.js';

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
		<${List} id="queues" what="queues" where=${within('queues', chosen)} columns=${QUEUE_COLUMNS} rowId=${queueId} sort="name"
			onRows=${(rows) => rows.forEach(recordQueue)}
			empty=${html`<${Empty} title="No queue yet" code=${publishSnippet('', 'hello')}>Clients declare queues; so can you, with the button above. This declares one and publishes to it:<//>`} />
		${declaring && html`<${Declare} onClose=${() => setDeclaring(false)} />`}`;
}
