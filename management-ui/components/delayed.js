// What waits in an exchange that delays.
import { bytes, count, del, duration, get, html, number, path, post, put, time, usePoll, useState, utc } from '../lib.js';
import { acts, Card, coded, Steps } from './card.js';
import { confirm } from './confirm.js';
import { Dialog } from './dialog.js';
import { Time } from './facts.js';
import { FormDialog } from './form.js';
import { Message } from './messages.js';
import { Empty, Loaded, Problem } from './state.js';
import { Table } from './table.js';
import { toast } from './toast.js';

/** Local time as an input of the browser has it. */
const asInput = (ms) => new Date(ms - new Date(ms).getTimezoneOffset() * 60_000).toISOString().slice(0, 19);

/** @param {DelayedProps} props */
export function Delayed({ vhost, exchange }) {
	const at = `exchanges/${path(vhost, exchange)}/delayed`;
	const [pages, setPages] = useState([]);
	const [moving, move] = useState(null);
	const [seen, see] = useState(null);
	const poll = usePoll(at, 5000, { page_size: 20, after: pages.at(-1) });
	const view = async (m) => {
		try {
			see(await get(`${at}/${m.id}`));
		} catch (error) {
			see({ id: m.id, error });
		}
	};
	const reschedule = async (v) => {
		await put(`${at}/${moving.id}`, { due: Math.max(0, new Date(v.due).getTime()) });
		toast('Message rescheduled.');
		poll.refresh();
	};
	const release = (m) => confirm({
		title: 'Release this message now?', act: 'Release', says: html`It goes through ${exchange} with the key <code>${m.routing_key}</code> at once, instead of at ${time(m.due)}.`,
		run: () => post(`${at}/${m.id}/release`, {}), done: 'The message is released.', after: poll.refresh,
	});
	const drop = (m) => confirm({
		title: 'Drop this message?', act: 'Drop message', keep: 'Keep', says: html`The message with the key <code>${m.routing_key}</code> (${bytes(m.payload_bytes)}), due ${time(m.due)}, will never be delivered.`,
		run: () => del(`${at}/${m.id}`), done: 'Message dropped.', after: poll.refresh,
	});
	const act = (m, name, run, danger = false) => html`<button class="small ${danger ? 'danger' : ''}" aria-label="${name} the message due ${utc(m.due)}, number ${m.id.split('-')[1]}" onClick=${() => run(m)}>${name}</button>`;
	const columns = [
		{ key: 'due', label: 'Due', draw: (m) => html`<${Time} at=${m.due} />` },
		{ key: 'in', label: 'In', num: true, draw: (m) => (m.due > Date.now() ? duration(Math.round((m.due - Date.now()) / 1000) * 1000) : 'now') },
		coded('routing_key', 'Routing key', { sort: undefined }),
		number('bytes', 'Body', 'payload_bytes', bytes, { prio: 2, sort: undefined }),
		{ key: 'id', label: 'Message id', prio: 3, draw: (m) => m.properties.message_id ?? '' },
		acts((m) => [act(m, 'View', view), act(m, 'Reschedule', move), act(m, 'Release', release), act(m, 'Drop', drop, true)]),
	];
	return html`
		<${Card} title="Delayed messages" note=${poll.data && `${count(poll.data.total)} wait, the next due first`}>
			<${Loaded} of=${poll} lines=${3}>${(data) => html`${data.items.length
				? html`<${Table} label="Delayed messages" columns=${columns} rows=${data.items} id=${(m) => m.id} />`
				: html`<${Empty} title="Nothing waits here">A message published with the header <code>x-delay</code> (milliseconds) waits here until it is due.<//>`}
				<${Steps} what="delayed messages" back=${pages.length ? () => setPages(pages.slice(0, -1)) : undefined} on=${data.next ? () => setPages([...pages, data.next]) : undefined} />`}<//>
		<//>
		${seen && html`<${Dialog} title="Delayed message" onClose=${() => see(null)}><div class="inner"><h2>Delayed message</h2>
			${seen.error ? html`<${Problem} error=${seen.error} />` : html`<${Message} m=${{ ...seen, exchange }} n=${seen.id.split('-')[1]} />`}<div class="row end"><button class="primary" onClick=${() => see(null)}>Close</button></div></div><//>`}
		${moving && html`<${FormDialog} narrow title="Reschedule message" submit="Reschedule" onSubmit=${reschedule} onClose=${() => move(null)}
			fields=${[{ name: 'due', label: 'Due', kind: 'datetime-local', step: 1, value: asInput(moving.due), max: '9999-12-31T23:59:59', required: true, hint: 'Local time. A time in the past releases it at once.' }]}><p>Key <code>${moving.routing_key}</code>, ${bytes(moving.payload_bytes)}.</p><//>`}`;
}
