import { chooseVhost, confirm, count, del, FormDialog, go, html, Icon, isAdministrator, limitFields, Loaded, path, plural, put, setLimits, Table, toast, usePoll, user, useState } from '../ui.js';

/** @param {LimitsProps} props */
function Limits({ name, limits, onClose, onDone }) {
	const save = async (v) => {
		await setLimits('vhost-limits', name, limits, v);
		onDone();
	};
	return html`<${FormDialog} narrow title="Limits of ${name}" submit="Save" onSubmit=${save} onClose=${onClose} fields=${limitFields(['max-connections', 'max-queues'], limits)} />`;
}

export default function Vhosts() {
	const poll = usePoll('vhosts', undefined, 10_000);
	const limits = usePoll(isAdministrator() ? 'vhost-limits' : null, undefined, 15_000);
	const [adding, setAdding] = useState(false);
	const [limiting, limit] = useState('');
	const limitsOf = (name) => (Array.isArray(limits.data) ? limits.data.find((l) => l.vhost === name)?.value : undefined);
	const columns = [
		{ key: 'name', label: 'Virtual host', sort: 'name', class: 'name', draw: (v) => html`<a href="#/queues" onClick=${() => chooseVhost(v.name)}>${v.name}</a>` },
		{ key: 'description', label: 'Description', prio: 3 },
		{ key: 'ready', label: 'Ready', num: true, sort: 'messages_ready', draw: (v) => count(v.messages_ready ?? 0) },
		{ key: 'unacked', label: 'Unacked', num: true, sort: 'messages_unacknowledged', prio: 2, draw: (v) => count(v.messages_unacknowledged ?? 0) },
		{ key: 'limits', label: 'Limits', prio: 3, draw: (v) => Object.entries(limitsOf(v.name) ?? {}).map(([k, n]) => `${k} ${count(n)}`).join(', ') },
		{ key: 'act', label: '', class: 'act', draw: (v) => isAdministrator() && html`<span class="row end"><button class="small" aria-label="Limits of ${v.name}" onClick=${() => limit(v.name)}>Limits</button>
			<button class="small danger" aria-label="Delete ${v.name}" onClick=${() => confirm({ title: `Delete the virtual host ${v.name}?`, says: `All its exchanges, queues, bindings, policies and permissions go, with ${plural(v.messages ?? 0, 'message')}. Its connections are closed.`, act: 'Delete', type: v.name, run: () => del(`vhosts/${path(v.name)}`), done: `${v.name} is deleted.`, after: poll.refresh })}>Delete</button></span>` },
	];
	const add = async (v) => {
		await put(`vhosts/${path(v.name)}`, { description: v.description });
		const me = user.get()?.name;
		if (v.mine && me) await put(`permissions/${path(v.name, me)}`, { configure: '.*', write: '.*', read: '.*' });
		toast(`${v.name} is there.`);
		poll.refresh();
		chooseVhost(v.name);
		go(['queues']);
	};
	return html`
		<div class="head"><h1>Virtual hosts</h1><span class="spacer" />${isAdministrator() && html`<button class="primary" onClick=${() => setAdding(true)}><${Icon} name="plus" />Add a virtual host</button>`}</div>
		<section class="card"><${Loaded} of=${poll}>${(all) => html`<${Table} label="Virtual hosts" columns=${columns} rows=${all} id=${(v) => v.name} />`}<//></section>
		${limiting && html`<${Limits} name=${limiting} limits=${limitsOf(limiting)} onClose=${() => limit('')} onDone=${limits.refresh} />`}
		${adding && html`<${FormDialog} narrow title="Add a virtual host" submit="Add" onSubmit=${add} onClose=${() => setAdding(false)} fields=${[
			{ name: 'name', label: 'Name', required: true, wide: true },
			{ name: 'description', label: 'Description', wide: true },
			{ name: 'mine', label: 'Give me full permissions in it', kind: 'checkbox', value: true, wide: true },
		]} />`}`;
}
