// A long list: search, sorting and pages are the server's, and in the address.
import { amend, count, html, inOrder, items, useEffect, usePoll, useRef, useRoute, useState } from '../lib.js';
import { Card, Steps } from './card.js';
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

/** The page of a whole list that the server would give, had it looked at these texts. */
function matching(all, texts, { name, by, desc, page, size }) {
	const found = all.filter((row) => texts(row).some((text) => text?.toLowerCase().includes(name.toLowerCase())));
	return { items: inOrder(found, by, desc).slice((page - 1) * size, page * size), total_count: all.length, filtered_count: found.length, page_count: Math.max(1, Math.ceil(found.length / size)) };
}

/** @param {ListProps} props */
export function List({ id, where, what, columns, rowId, empty, sort, onRows, past, texts, pattern, tools }) {
	const { query } = useRoute();
	const { name = '' } = query;
	const size = Number(query.size) || 50;
	const page = Number(query.page) || 1;
	const by = query.sort ?? sort;
	const desc = query.desc === '1';
	const asked = texts && name ? {} : { page, page_size: size, sort: by, sort_reverse: desc, name: name || pattern, use_regex: !name && pattern ? true : undefined };
	const poll = usePoll(where, 5000, asked, (d) => onRows?.(items(d)));
	past?.(where, asked);
	const { shown, hidden, toggle } = useColumns(id, columns);
	if (Array.isArray(poll.data)) poll.data = matching(poll.data, texts, { name, by, desc, page, size });
	const turn = (to) => amend({ page: to });
	// The page went with its rows: show the first.
	useEffect(() => {
		if (page > 1 && poll.error?.status === 400) turn();
	}, [poll.error]);
	return html`
		<${Card}><div class="tools">
				<${Search} label="Filter ${what} by name${texts ? ' or user' : ''}" value=${name} onChange=${(v) => amend({ name: v })} />
				<span class="spacer" />${tools}<${ColumnChoice} columns=${columns} hidden=${hidden} toggle=${toggle} />
			</div>
			<${Loaded} of=${poll} lines=${8}>${({ items: rows, total_count: total, filtered_count: filtered, page_count: pages }) => (rows.length
				? html`<${Table} label=${what} columns=${shown} rows=${rows} id=${rowId} sort=${{ by, desc }} onSort=${(b, d) => amend({ sort: b, desc: d ? 1 : 0 })} />
					<${Steps} what=${what} back=${page > 1 ? () => turn(page - 1) : undefined} on=${page < pages ? () => turn(page + 1) : undefined} between=${html`<span>${count(page)} of ${count(pages)}</span>`}>
						<span class="muted">${filtered === total ? '' : `${count(filtered)} of `}${count(total)} ${what}</span>
						${total > PAGE_SIZES[0] && html`<select aria-label="Rows on a page" value=${size} onChange=${(e) => amend({ size: e.currentTarget.value })}>${PAGE_SIZES.map((n) => html`<option value=${n} selected=${n === size}>${n} rows</option>`)}</select>`}<//>`
				: name ? html`<div class="empty"><h2>Nothing matches “${name}”</h2><button class="link" onClick=${() => amend({ name: undefined })}>Show all ${what}</button></div>` : empty)}<//><//>`;
}
