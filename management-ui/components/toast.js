import { html, signal, useSignal } from '../lib.js';
import { Icon } from './icon.js';

const SHOWN_MS = 6000;
const toasts = signal(/** @type {{id: number, text: string}[]} */ ([]));
let last = 0;

const drop = (id) => toasts.set(toasts.get().filter((t) => t.id !== id));

/** Says what was done. Failures do not belong here: they stay beside what failed. */
export function toast(text) {
	const id = ++last;
	toasts.set([...toasts.get().slice(-3), { id, text }]);
	setTimeout(() => drop(id), SHOWN_MS);
}

export function Toasts() {
	const all = useSignal(toasts);
	return html`<div class="toasts" role="status" aria-live="polite">
		${all.map((t) => html`<div class="toast" key=${t.id}><span>${t.text}</span><button class="icon" aria-label="Dismiss" onClick=${() => drop(t.id)}><${Icon} name="close" /></button></div>`)}
	</div>`;
}
