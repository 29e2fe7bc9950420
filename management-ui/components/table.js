// The one table.
import { html, inOrder, pref, setPref, useState } from '../lib.js';
import { Loaded } from './state.js';

export function useColumns(id, columns) {
	const [hidden, setHidden] = useState(() => new Set(pref(`columns.${id}`, columns.filter((c) => c.off).map((c) => c.key))));
	const toggle = (key) => {
		const next = new Set(hidden);
		if (!next.delete(key)) next.add(key);
		setPref(`columns.${id}`, [...next]);
		setHidden(next);
	};
	return { shown: columns.filter((c) => !hidden.has(c.key)), hidden, toggle };
}

/** @param {ColumnChoiceProps} props */
export const ColumnChoice = ({ columns, hidden, toggle }) => html`
	<details class="columns"><summary class="button">Columns</summary><div>
		${columns.slice(1).map((c) => html`<label key=${c.key}><input type="checkbox" checked=${!hidden.has(c.key)} onChange=${() => toggle(c.key)} />${c.label}</label>`)}
	</div></details>`;

/** @param {TableProps} props */
export function Table({ columns, rows, id, label, sort, onSort, updating }) {
	const [own, setOwn] = useState(null);
	const current = onSort ? sort : own;
	const column = !onSort && own && columns.find((c) => c.key === own.by);
	const list = column ? inOrder(rows, column.sort, own.desc) : rows;
	const press = (c) => {
		const by = onSort ? String(c.sort) : c.key;
		// Numbers sort descending first, names ascending.
		const desc = current?.by === by ? !current.desc : !!c.num;
		if (onSort) onSort(by, desc);
		else setOwn({ by, desc });
	};
	const cls = (c) => [c.num ? 'num' : '', c.prio ? `p${c.prio}` : '', c.class ?? ''].join(' ').trim() || undefined;
	return html`
		<div class="table ${updating ? 'updating' : ''}" tabindex="0" role="region" aria-label=${label}>
			<table>
				<thead><tr>${columns.map((c) => {
					const by = onSort ? c.sort : c.key;
					const sorted = current && c.sort && current.by === by;
					return html`<th key=${c.key} scope="col" class=${cls(c)} title=${c.title} aria-sort=${sorted ? (current.desc ? 'descending' : 'ascending') : undefined}>
						${c.sort ? html`<button type="button" onClick=${() => press(c)}>${c.label}${sorted ? (current.desc ? ' ↓' : ' ↑') : ''}</button>` : c.label || html`<span class="sr">Actions</span>`}
					</th>`;
				})}</tr></thead>
				<tbody>${list.map((row) => html`<tr key=${id(row)}>${columns.map((c) => html`<td key=${c.key} class=${cls(c)}>${c.draw ? c.draw(row) : row[c.key]}</td>`)}</tr>`)}</tbody>
			</table>
		</div>`;
}

/** A table of what was asked for; `none` where that is empty. @param {RowsProps} props */
export const Rows = ({ of, lines = 3, none, ...table }) => html`<${Loaded} of=${of} lines=${lines}>${(rows) => (rows.length ? html`<${Table} ...${table} rows=${rows} />` : none)}<//>`;
