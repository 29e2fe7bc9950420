// A long list: search, sorting and pages, all done by the server and all in the address, so that a view can be linked to.
import { amend, count, html, useEffect, usePoll, useRef, useRoute, useState } from '../lib/index.js';
import { ColumnChoice, Table, useColumns } from './table.js';
import { Loaded } from './state.js';

const PAGE_SIZES = [25, 50, 100, 250, 500];

/** @param {SearchProps} props */
export function Search({ value, onChange, label }) {
	const [text, setText] = useState(value);
	const timer = useRef(0);
	useEffect(() => setText(value), [value]);
	useEffect(() => () => clearTimeout(timer.current), []);
	const type = (e) => {
		const next = e.currentTarget.value;
		setText(next);
		clearTimeout(timer.current);
		timer.current = setTimeout(() => onChange(next), 200);
	};
	return html`<div class="search"><input type="search" data-search value=${text} onInput=${type} placeholder=${label} aria-label=${label} spellcheck=${false} />${!text && html`<kbd aria-hidden="true">/</kbd>`}</div>`;
}

/** @param {PagerProps} props */
export const Pager = ({ page, pages, total, filtered, size, what }) => html`
	<nav class="pager" aria-label="Pages">
		<span class="muted">${filtered === total ? count(total) : `${count(filtered)} of ${count(total)}`} ${what}</span><span class="spacer" />
		${pages > 1 && html`
			<button class="small" disabled=${page <= 1} onClick=${() => amend({ page: page - 1 })}>Previous</button>
			<span>${count(page)} of ${count(pages)}</span>
			<button class="small" disabled=${page >= pages} onClick=${() => amend({ page: page + 1 })}>Next</button>`}
		${total > PAGE_SIZES[0] && html`<select aria-label="Rows on a page" value=${size} onChange=${(e) => amend({ size: e.currentTarget.value, page: undefined })}>${PAGE_SIZES.map((n) => html`<option value=${n} selected=${n === size}>${n} rows</option>`)}</select>`}
	</nav>`;

/** @param {ListProps} props */
export function List({ id, where, what, columns, rowId, empty, sort, desc, tools, onRows, poll: handle }) {
	const { query } = useRoute();
	const size = Number(query.size) || 50;
	const page = Number(query.page) || 1;
	const by = query.sort ?? sort;
	const down = query.desc === undefined ? (query.sort ? false : !!desc) : query.desc === '1';
	const name = query.name ?? '';
	const asked = { page, page_size: size, sort: by, sort_reverse: down, name: name || undefined, use_regex: name ? 'false' : undefined, pagination: true };
	const poll = usePoll(where, asked, 5000, (d) => onRows?.(d.items ?? d));
	if (handle) handle.refresh = poll.refresh;
	const { shown, hidden, toggle } = useColumns(id, columns);
	// A page that no longer exists, because rows went away: the first one does.
	useEffect(() => {
		if (page > 1 && poll.error?.status === 400) amend({ page: undefined });
	}, [poll.error]);
	return html`
		<section class="card">
			<div class="tools">
				<${Search} label="Filter ${what} by name" value=${name} onChange=${(v) => amend({ name: v, page: undefined })} />
				<span class="spacer" />${tools}<${ColumnChoice} columns=${columns} hidden=${hidden} toggle=${toggle} />
			</div>
			<${Loaded} of=${poll} lines=${8}>${(data) => {
				const rows = data.items ?? data;
				const filtered = data.filtered_count ?? rows.length;
				const total = data.total_count ?? rows.length;
				return rows.length === 0
					? html`${name ? html`<div class="empty"><h2>Nothing matches “${name}”</h2><button class="link" onClick=${() => amend({ name: undefined })}>Show all ${what}</button></div>` : empty}`
					: html`<${Table} label=${what} columns=${shown} rows=${rows} id=${rowId} sort=${{ by, desc: down }} onSort=${(b, d) => amend({ sort: b, desc: d ? 1 : 0, page: undefined })} />
							<${Pager} page=${data.page ?? 1} pages=${data.page_count ?? 1} total=${total} filtered=${filtered} size=${size} what=${what} />`;
			}}<//>
		</section>`;
}
