// Moves the messages of a queue back to where they came from, or somewhere else, a part at a time.
import { count, html, path, plural, post, useRef, useState } from '../lib/index.js';
import { Dialog } from './dialog.js';
import { Form } from './form.js';
import { toast } from './toast.js';

const PART = 500;

/** @param {RedriveProps} props */
export function Redrive({ vhost, queue, ready, onClose, onDone }) {
	const [to, setTo] = useState('origin');
	const [moved, setMoved] = useState(-1);
	const stopped = useRef(false);
	const close = () => {
		stopped.current = true;
		onClose();
	};
	const run = async (v) => {
		const target = to === 'queue' ? { queue: v.target } : to === 'exchange' ? { exchange: v.target, ...(v.key ? { routing_key: v.key } : {}) } : {};
		let total = 0;
		setMoved(0);
		try {
			while (total < v.count && !stopped.current) {
				const part = await post(`queues/${path(vhost, queue)}/redrive`, { ...target, count: Math.min(PART, v.count - total) });
				total += part.moved;
				setMoved(total);
				if (part.reason) throw new Error(`${plural(total, 'message')} moved; ${part.stayed === 1 ? 'one' : count(part.stayed)} stayed, because ${part.reason}.`);
				if (!part.moved) break;
			}
		} finally {
			onDone();
		}
		toast(`${plural(total, 'message')} moved out of ${queue}.`);
		close();
	};
	return html`<${Dialog} narrow title="Redrive ${queue}" onClose=${close}>
		<${Form} keep submit="Move messages" onSubmit=${run} onCancel=${close} fields=${[
			{ name: 'to', label: 'Where to', kind: 'select', value: to, wide: true, onChange: (e) => setTo(e.currentTarget.value), options: [['origin', 'Back to the queue each came from'], ['queue', 'A queue'], ['exchange', 'An exchange']] },
			...(to === 'origin' ? [] : [{ name: 'target', label: to === 'queue' ? 'Queue' : 'Exchange', required: true, wide: true }]),
			...(to === 'exchange' ? [{ name: 'key', label: 'Routing key', wide: true, mono: true, hint: 'Empty: the one that it was first published with.' }] : []),
			{ name: 'count', label: 'How many, at most', kind: 'number', min: 1, value: Math.max(1, ready), required: true, wide: true },
		]}><h2>Redrive ${queue}</h2>
			<p>Messages are taken from the head of ${queue} and moved in order. Each is in one of the two queues at any moment; what cannot go stays at its place.</p>
			${moved >= 0 && html`<p role="status">${plural(moved, 'message')} moved.</p>`}<//>
	<//>`;
}
