// Asks before something is lost. Names what it hits; for the worst, the name must be typed.
import { html, signal, useSignal } from '../lib.js';
import { FormDialog } from './form.js';
import { toast } from './toast.js';

const asked = signal(/** @type {Question | null} */ (null));

/** @param {Question | null} question null takes it back */
export const confirm = (question) => asked.set(question);

/** A button that asks first. @param {AsksProps} props */
export const Asks = ({ small, name, ...question }) => html`<button class="danger ${small ? 'small' : ''}" aria-label=${name} onClick=${() => confirm(question)}>${question.act}</button>`;

export function Confirm() {
	const q = useSignal(asked);
	if (!q) return null;
	const close = () => asked.set(null);
	const run = async (v) => {
		if (q.type !== undefined && v.typed !== q.type) throw new Error(`Type ${q.type} to confirm.`);
		const result = await q.run();
		if (q.done) toast(typeof q.done === 'function' ? q.done(result) : q.done);
		q.after?.();
	};
	return html`<${FormDialog} narrow danger key=${q.title} title=${q.title} submit=${q.act} keepLabel=${q.keep} onSubmit=${run} onClose=${close}
		fields=${q.type === undefined ? [] : [{ name: 'typed', label: `Type ${q.type} to confirm`, required: true, autocomplete: 'off' }]}>
		<p>${q.says}</p>
	<//>`;
}
