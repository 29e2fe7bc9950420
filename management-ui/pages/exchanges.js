import { count, Empty, exchangeName, FormDialog, go, html, Icon, link, List, parseArguments, path, put, toast, usePoll, useSignal, useState, useVhostField, vhost, within } from '../ui.js';

const KINDS = ['direct', 'topic', 'fanout', 'headers'];

const COLUMNS = [
	{ key: 'name', label: 'Exchange', sort: 'name', class: 'name', draw: (x) => html`<a href=${link(['exchange', x.vhost, x.name])}>${exchangeName(x.name)}</a>` },
	{ key: 'vhost', label: 'Virtual host', sort: 'vhost', prio: 3, off: true },
	{ key: 'type', label: 'Type', sort: 'type' },
	{ key: 'features', label: 'Features', prio: 2, draw: (x) => html`<span class="tags">${[!x.durable && 'transient', x.auto_delete && 'auto-delete', x.internal && 'internal', x.arguments?.['alternate-exchange'] && 'alternate', x.policy].filter(Boolean).map((t) => html`<span class="tag" key=${t}>${t}</span>`)}</span>` },
	{ key: 'delayed', label: 'Delayed', num: true, sort: 'messages_delayed', title: 'Messages that wait for their time', draw: (x) => (x.messages_delayed === undefined ? '' : count(x.messages_delayed)) },
];

function Declare({ onClose }) {
	const vhostField = useVhostField();
	const kinds = usePoll('overview', undefined, 0).data?.exchange_types?.map((t) => t.name) ?? KINDS;
	const declare = async (v) => {
		await put(`exchanges/${path(v.vhost, v.name)}`, { type: v.type, durable: v.durable, auto_delete: v.auto_delete, internal: v.internal, arguments: parseArguments(v.arguments) });
		toast(`Exchange ${v.name} is there.`);
		go(['exchange', v.vhost, v.name]);
	};
	return html`<${FormDialog} title="Declare an exchange" submit="Declare" onSubmit=${declare} onClose=${onClose} fields=${[
		vhostField,
		{ name: 'name', label: 'Name', required: true, wide: true },
		{ name: 'type', label: 'Type', kind: 'select', options: kinds, value: 'direct', wide: true },
		{ name: 'durable', label: 'Durable', kind: 'checkbox', value: true, hint: 'Survives a restart.' },
		{ name: 'auto_delete', label: 'Auto-delete', kind: 'checkbox', hint: 'Deleted with its last binding.' },
		{ name: 'internal', label: 'Internal', kind: 'checkbox', hint: 'Clients cannot publish to it.' },
		{ name: 'arguments', label: 'Arguments', kind: 'textarea', mono: true, wide: true, placeholder: 'alternate-exchange=unrouted', hint: 'One key=value a line.' },
	]} />`;
}

export default function Exchanges() {
	const chosen = useSignal(vhost);
	const [declaring, setDeclaring] = useState(false);
	return html`
		<div class="head"><h1>Exchanges</h1><span class="spacer" /><button class="primary" onClick=${() => setDeclaring(true)}><${Icon} name="plus" />Declare an exchange</button></div>
		<${List} id="exchanges" what="exchanges" where=${within('exchanges', chosen)} columns=${COLUMNS} rowId=${(x) => `${x.vhost}\n${x.name}`} sort="name"
			empty=${html`<${Empty} title="No exchange">You may not see any here.<//>`} />
		${declaring && html`<${Declare} onClose=${() => setDeclaring(false)} />`}`;
}
