import { html, useState } from '../lib.js';
import { Segmented } from './card.js';
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
		${names.length > 1 && html`<${Segmented} label="Language" of=${names.map((name) => [name, name])} value=${shown} choose=${show} />`}
		<div class="code"><pre tabindex="0">${variants[shown]}</pre><button type="button" class="small" onClick=${copy}>Copy</button></div>`;
}
