import { clientUrl, html, usePoll, useState, vhost } from '../lib.js';
import { Segmented } from './card.js';
import { toast } from './toast.js';

/** @param {CodeProps} props */
export function Code({ variants, of }) {
	const { data } = usePoll('overview', 0, { columns: 'listeners' });
	const names = Object.keys(variants);
	const [shown, show] = useState(names[0]);
	const text = variants[shown].replace('{url}', clientUrl(data?.listeners, of ?? (vhost.get() || '/')));
	const copy = async () => {
		try {
			await navigator.clipboard.writeText(text);
			toast('Copied.');
		} catch {
			toast('The browser does not allow copying here; select the text instead.');
		}
	};
	return html`
		${names.length > 1 && html`<${Segmented} label="Language" of=${names.map((name) => [name, name])} value=${shown} choose=${show} />`}
		<div class="code"><pre tabindex="0">${text}</pre><button type="button" class="small" onClick=${copy}>Copy</button></div>`;
}
