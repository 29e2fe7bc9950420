import { html, useState } from '../lib/index.js';
import { toast } from './toast.js';

/** @param {CodeProps} props */
export function Code({ variants }) {
	const names = Object.keys(variants);
	const [shown, show] = useState(names[0]);
	const copy = async () => {
		try {
			await navigator.clipboard.writeText(variants[shown]);
			toast('Copied.');
		} catch {
			toast('The browser does not allow copying here; select the text instead.');
		}
	};
	return html`
		${names.length > 1 && html`<div class="segmented" role="group" aria-label="Language">
			${names.map((name) => html`<button type="button" class="small" aria-pressed=${String(name === shown)} onClick=${() => show(name)}>${name}</button>`)}
		</div>`}
		<div class="code"><pre tabindex="0">${variants[shown]}</pre><button type="button" class="small" onClick=${copy}>Copy</button></div>`;
}
