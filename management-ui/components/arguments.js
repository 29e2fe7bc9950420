// Settings of a queue or exchange, and their origin.
import { html, meaning, path, usePoll, written } from '../lib.js';
import { Note } from './card.js';
import { Loaded } from './state.js';

const FROM = ({ argument: 'argument', policy: 'policy', operator_policy: 'operator policy' });

/** @param {{of: any, where: string}} props where: `queues` or `exchanges` */
export function Arguments({ of: thing, where }) {
	const poll = usePoll(`${where}/${path(thing.vhost, thing.name)}/effective`, 15_000);
	return html`<${Loaded} of=${poll} lines=${2}>${(data) => {
		const settings = data.settings.filter((s) => s.source !== 'default').map((s) => ({ key: s.setting, value: s.value, from: [FROM[s.source] ?? s.source, s.policy].filter(Boolean).join(' ') }));
		const named = new Set(settings.map((s) => s.key));
		// Others', or for the exchange's type.
		const rest = Object.entries(thing.arguments ?? {}).filter(([key]) => !named.has(key.replace(/^x-/, ''))).map(([key, value]) => ({ key, value, from: 'argument' }));
		const all = [...settings, ...rest];
		if (!all.length) return html`<${Note}>No arguments, no policy: plain defaults.<//>`;
		return html`<div class="table" tabindex="0" role="region" aria-label="Settings"><table class="settings"><tbody>${all.map(({ key, value, from }) => html`
			<tr key=${from + key}><td class="mono">${key}</td><td class="mono">${written(value)}</td>
				<td>${meaning(key, value)}</td><td class="muted p2">${from}</td></tr>`)}</tbody></table></div>`;
	}}<//>`;
}
