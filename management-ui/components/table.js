// The one table: columns, sorting by the server or in the page, choice of columns.
import { html, useState } from '../lib/html.js';
import { pref, setPref } from '../lib/prefs.js';

/**
 * @typedef {{key: string, label: string, draw?: (row: any) => any, num?: boolean, sort?: string | ((row: any) => any), prio?: 2 | 3, off?: boolean, title?: string, class?: string}} Column
 *   sort: the field to sort by (for the server), or how to get it from a row; prio: hidden on narrower screens; off: hidden until chosen
 */

/** @param {string} id @param {Column[]} columns */
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

/** @param {{columns: Column[], hidden: Set<string>, toggle: (key: string) => void}} props */
export const ColumnChoice = ({ columns, hidden, toggle }) => html`
  <details class="columns"><summary class="button">Columns</summary><div>
    ${columns.slice(1).map((c) => html`<label key=${c.key}><input type="checkbox" checked=${!hidden.has(c.key)} onChange=${() => toggle(c.key)} />${c.title ?? c.label}</label>`)}
  </div></details>`;

/** @param {any} row @param {Column} column */
function sortValue(row, column) {
  if (typeof column.sort === 'function') return column.sort(row);
  return row[column.sort ?? column.key];
}

/**
 * @param {{columns: Column[], rows: any[], id: (row: any) => string, label: string, sort?: {by: string, desc: boolean}, onSort?: (by: string, desc: boolean) => void, updating?: boolean}} props
 *   onSort: the server sorts; without it the page does
 */
export function Table({ columns, rows, id, label, sort, onSort, updating }) {
  const [own, setOwn] = useState(/** @type {{by: string, desc: boolean} | null} */ (null));
  const current = onSort ? sort : own;
  let list = rows;
  const column = !onSort && own && columns.find((c) => c.key === own.by);
  if (column) {
    list = [...rows].sort((a, b) => {
      const [x, y] = [sortValue(a, column) ?? '', sortValue(b, column) ?? ''];
      const order = typeof x === 'number' && typeof y === 'number' ? x - y : String(x).localeCompare(String(y));
      return own.desc ? -order : order;
    });
  }
  const press = (/** @type {Column} */ c) => {
    const by = onSort ? String(c.sort) : c.key;
    // Numbers are looked at from the top, names from the start.
    const desc = current?.by === by ? !current.desc : !!c.num;
    if (onSort) onSort(by, desc);
    else setOwn({ by, desc });
  };
  const cls = (/** @type {Column} */ c) => [c.num ? 'num' : '', c.prio ? `p${c.prio}` : '', c.class ?? ''].join(' ').trim() || undefined;
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
