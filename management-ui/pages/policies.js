import { acts, Asks, Card, count, del, Empty, FormDialog, Head, html, isAdministrator, meaning, number, Opens, parseArguments, path, put, Rows, toast, usePoll, useVhostField, useWithin } from '../ui.js';

const asLines = (definition) => Object.entries(definition ?? {}).map(([k, v]) => `${k}=${typeof v === 'string' ? v : JSON.stringify(v)}`).join('\n');

/** @param {EditProps} props */
function Edit({ old, kind, onClose, onDone }) {
	const vhostField = useVhostField();
	const save = async (v) => {
		const at = old ? { vhost: old.vhost, name: old.name } : v;
		await put(`${kind}/${path(at.vhost, at.name)}`, { pattern: v.pattern, definition: parseArguments(v.definition), priority: v.priority ?? 0, 'apply-to': v.apply });
		toast(`Policy ${at.name} is set.`);
		onDone();
	};
	return html`<${FormDialog} title=${old ? `Policy ${old.name}` : 'New policy'} submit="Save" onSubmit=${save} onClose=${onClose} fields=${[
		...(old ? [] : [vhostField, { name: 'name', label: 'Name', required: true, wide: true }]),
		{ name: 'pattern', label: 'Pattern of names', required: true, wide: true, mono: true, value: old?.pattern ?? '^', hint: 'A regular expression; ^ matches all.' },
		{ name: 'apply', label: 'Applies to', kind: 'select', value: old?.['apply-to'] ?? 'queues', options: ['queues', 'exchanges', 'all', 'classic_queues', 'quorum_queues', 'streams'] },
		{ name: 'priority', label: 'Priority', kind: 'number', value: old?.priority ?? 0 },
		{ name: 'definition', label: 'Definition', kind: 'textarea', wide: true, mono: true, rows: 4, value: asLines(old?.definition), placeholder: 'message-ttl=60000\ndead-letter-exchange=dead', required: true, hint: 'One key=value a line.' },
	]} />`;
}

const KINDS = ([
	['policies', 'Policies', 'A policy sets limits, expiry or dead lettering for all queues whose name matches, without declaring them anew.'],
	['operator-policies', 'Operator policies', 'An operator policy sets limits that users cannot exceed, whatever they declare.'],
]);

function Section({ kind, title, why }) {
	const poll = usePoll(useWithin(kind), 15_000);
	const edit = (old) => (close) => html`<${Edit} kind=${kind} old=${old} onClose=${close} onDone=${poll.refresh} />`;
	const mayEdit = kind === 'policies' || isAdministrator();
	const columns = [
		{ key: 'name', label: 'Policy', sort: 'name', class: 'name', draw: (p) => (mayEdit ? html`<${Opens} class="link" label=${p.name} of=${edit(p)} />` : p.name) },
		{ key: 'vhost', label: 'Virtual host', sort: 'vhost', prio: 3 },
		{ key: 'pattern', label: 'Pattern', sort: 'pattern', draw: (p) => html`<code>${p.pattern}</code>` },
		{ key: 'apply-to', label: 'Applies to', sort: 'apply-to', prio: 2 },
		number('priority', 'Priority', 'priority', count, { prio: 2 }),
		{ key: 'definition', label: 'Sets', draw: (p) => Object.entries(p.definition).map(([k, v]) => html`<div key=${k} title=${meaning(k, v)}><code>${k}=${typeof v === 'string' ? v : JSON.stringify(v)}</code></div>`) },
		acts((p) => mayEdit && html`<${Asks} small act="Delete" name="Delete policy ${p.name}" title="Delete the policy ${p.name}?" says="Queues and exchanges in ${p.vhost} that match ${p.pattern} lose: ${Object.keys(p.definition).join(', ')}."
			run=${() => del(`${kind}/${path(p.vhost, p.name)}`)} done="Policy ${p.name} is deleted." after=${poll.refresh} />`),
	];
	return html`
		<${Card} title=${title} tools=${mayEdit && html`<${Opens} class="small" plus label="New" name="New ${kind === 'policies' ? 'policy' : 'operator policy'}" of=${edit()} />`}>
			<${Rows} of=${poll} label=${title} columns=${columns} id=${(p) => `${p.vhost}\n${p.name}`} none=${html`<${Empty} title="None yet">${why}<//>`} /><//>`;
}

export default function Policies() {
	return html`<${Head} title="Policies" />
		${KINDS.map(([kind, title, why]) => html`<${Section} key=${kind} kind=${kind} title=${title} why=${why} />`)}`;
}
