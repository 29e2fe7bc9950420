import { acts, Asks, capital, Card, coded, count, del, Empty, FormDialog, Head, html, Icon, isAdministrator, meaning, NAME, named, number, parseArguments, path, plain, put, Rows, toast, usePoll, useState, useVhostField, useWithin, VHOST, written } from '../ui.js';

const asLines = (definition) => Object.entries(definition ?? {}).map(([k, v]) => `${k}=${written(v)}`).join('\n');

/** What has a name and is made, changed and deleted by it. @param {KeptProps} props */
function Kept({ kind, title, one, why, of, at, columns, fields, body, loses, mayEdit = true }) {
	// What is edited: null when nothing is, without a name when it is new.
	const [edited, change] = useState(/** @type {any} */ (null));
	const save = async (v) => {
		const thing = { ...v, ...edited };
		await put(`${kind}/${at(thing)}`, body(v));
		toast(`${capital(one)} ${thing.name} is set.`);
		of.refresh();
	};
	return html`
		<${Card} title=${title} tools=${mayEdit && html`<button class="small" aria-label="New ${one}" onClick=${() => change({})}><${Icon} name="plus" />New</button>`}>
			<${Rows} of=${of} label=${title} id=${(p) => `${p.vhost}\n${p.name}`} none=${html`<${Empty} title="None yet">${why}<//>`} columns=${[
				named('Name', (p) => (mayEdit ? html`<button class="link" onClick=${() => change(p)}>${p.name}</button>` : p.name)),
				...columns,
				acts((p) => mayEdit && html`<${Asks} small act="Delete" name="Delete ${one} ${p.name}" title="Delete the ${one} ${p.name}?" says=${loses(p)}
					run=${() => del(`${kind}/${at(p)}`)} done="${capital(one)} ${p.name} is deleted." after=${of.refresh} />`),
			]} />
			${edited && html`<${FormDialog} title=${edited.name ? `${capital(one)} ${edited.name}` : `New ${one}`} submit="Save" onSubmit=${save} onClose=${() => change(null)} fields=${[!edited.name && NAME, ...fields(edited)].filter(Boolean)} />`}<//>`;
}

const POLICY_COLUMNS = [
	VHOST,
	coded('pattern', 'Pattern'),
	plain('apply-to', 'Applies to', { prio: 2 }),
	number('priority', 'Priority', 'priority', count, { prio: 2 }),
	{ key: 'definition', label: 'Sets', draw: (p) => Object.entries(p.definition).map(([k, v]) => html`<div key=${k} title=${meaning(k, v)}><code>${k}=${written(v)}</code></div>`) },
];

const Ruling = ({ kind, ...more }) => {
	const of = usePoll(useWithin(kind), 15_000);
	const vhostField = useVhostField();
	const fields = (old) => [
		...(old.name ? [] : [vhostField]),
		{ name: 'pattern', label: 'Pattern of names', required: true, wide: true, mono: true, value: old.pattern ?? '^', hint: 'A regular expression; ^ matches all.' },
		{ name: 'apply', label: 'Applies to', kind: 'select', value: old['apply-to'] ?? 'queues', options: ['queues', 'exchanges', 'all', 'classic_queues', 'quorum_queues', 'streams'] },
		{ name: 'priority', label: 'Priority', kind: 'number', value: old.priority ?? 0 },
		{ name: 'definition', label: 'Definition', kind: 'textarea', wide: true, mono: true, rows: 4, value: asLines(old.definition), placeholder: 'message-ttl=60000\ndead-letter-exchange=dead', required: true, hint: 'One key=value a line.' },
	];
	const body = (v) => ({ pattern: v.pattern, definition: parseArguments(v.definition), priority: v.priority ?? 0, 'apply-to': v.apply });
	return html`<${Kept} kind=${kind} ...${more} of=${of} at=${(p) => path(p.vhost, p.name)} columns=${POLICY_COLUMNS} fields=${fields} body=${body}
		loses=${(p) => `Queues and exchanges in ${p.vhost} that match ${p.pattern} lose: ${Object.keys(p.definition).join(', ')}.`} />`;
};

const json = (text) => {
	try {
		return JSON.parse(text);
	} catch {
		throw new Error('Not valid JSON. Put text in quotes.');
	}
};
const parameterFields = (old) => [{ name: 'value', label: 'Value', kind: 'textarea', wide: true, mono: true, required: true, value: JSON.stringify(old.value, null, 1), placeholder: '{"team": "orders"}', hint: 'JSON.' }];

export default function Policies() {
	const parameters = usePoll('global-parameters', 15_000);
	return html`<${Head} title="Policies" />
		<${Ruling} kind="policies" title="Policies" one="policy" why="A policy sets limits, expiry or dead lettering for all queues whose name matches, without declaring them anew." />
		<${Ruling} kind="operator-policies" title="Operator policies" one="operator policy" mayEdit=${isAdministrator()} why="An operator policy caps what users may declare and other policies may set." />
		<${Kept} kind="global-parameters" title="Global parameters" one="global parameter" of=${parameters} at=${(p) => path(p.name)} fields=${parameterFields} body=${(v) => ({ value: json(v.value) })} loses=${(p) => `Whoever reads ${p.name} no longer finds it.`}
			columns=${[{ key: 'value', label: 'Value', draw: (p) => html`<code>${JSON.stringify(p.value)}</code>` }]}
			why="Values that tools keep with the broker; definitions carry them." />`;
}
