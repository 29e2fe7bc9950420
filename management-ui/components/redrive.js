// Moves messages back or elsewhere. The broker does it and reports progress.
import { call, html, path, plural, useEffect, useRef, useState } from '../lib.js';
import { Dialog } from './dialog.js';
import { Form } from './form.js';
import { toast } from './toast.js';

const WHERE = [['origin', 'Back where each came from'], ['queue', 'A queue'], ['exchange', 'An exchange']];
const REASONS = [['', 'Any'], ['rejected', 'Rejected by a consumer'], ['expired', 'Expired'], ['maxlen', 'The queue was full'], ['delivery_limit', 'Delivered too often']];

/** @param {RedriveProps} props */
export function Redrive({ vhost, queue, ready, onClose, onDone }) {
	const [to, setTo] = useState('origin');
	const [told, tell] = useState(/** @type {any} */ (null));
	const abort = useRef(new AbortController());
	useEffect(() => () => abort.current.abort(), []);
	const run = async (v) => {
		let last;
		const body = { ...(to === 'origin' ? {} : { [to]: v.target }), routing_key: v.key || undefined, count: v.count, only: { queue: v.from || undefined, reason: v.reason || undefined } };
		try {
			await call('POST', `queues/${path(vhost, queue)}/redrive`, { body, signal: abort.current.signal, onEvent: (report) => report && tell(last = report) });
		} finally {
			onDone();
		}
		if (last.reason) throw new Error(`${plural(last.moved, 'message')} moved; ${plural(last.stayed, 'message')} stayed, because ${last.reason}.`);
		toast(`${plural(last.moved, 'message')} moved out of ${queue}.`);
		onClose();
	};
	return html`<${Dialog} narrow title="Redrive ${queue}" onClose=${onClose}>
		<${Form} keep submit="Move messages" onSubmit=${run} onCancel=${onClose} fields=${[
			{ name: 'to', label: 'Where to', kind: 'select', value: to, onChange: (e) => setTo(e.currentTarget.value), options: WHERE },
			...(to === 'origin' ? [] : [{ name: 'target', label: to === 'queue' ? 'Queue' : 'Exchange', required: true }]),
			...(to === 'exchange' ? [{ name: 'key', label: 'Routing key', mono: true, hint: 'Empty: the one that it was first published with.' }] : []),
			{ name: 'from', label: 'Only those that came from the queue', placeholder: 'any queue' },
			{ name: 'reason', label: 'Only those dropped because', kind: 'select', options: REASONS },
			{ name: 'count', label: 'Look at no more than', kind: 'number', min: 1, placeholder: 'all' },
		]}><h2>Redrive ${queue}</h2>
			<p>Messages are moved in order from the head of ${queue}. Each is in one of the two queues at any moment; messages that cannot be moved stay where they are.</p>
			${told && html`<div role="status"><p>${plural(told.moved, 'message')} moved.</p><div class="meter"><i style=${{ width: `${Math.min(100, (100 * told.moved) / Math.max(1, ready))}%` }} /></div></div>`}<//>
	<//>`;
}
