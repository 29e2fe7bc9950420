// Arguments and policy with what they mean, and where each comes from.
import { html, meaning } from '../lib/index.js';

/** @param {{of: any}} props a queue or an exchange */
export function Arguments({ of: thing }) {
	const own = Object.entries(thing.arguments ?? {}).map(([key, value]) => ({ key, value, from: 'argument' }));
	const policy = Object.entries(thing.effective_policy_definition ?? {}).map(([key, value]) => ({
		key, value, from: `policy ${[thing.policy, thing.operator_policy].filter(Boolean).join(', ')}`,
	}));
	const all = [...own, ...policy];
	if (!all.length) return html`<div class="empty"><p class="muted">No arguments, no policy: plain defaults.</p></div>`;
	return html`<div class="table" tabindex="0" role="region" aria-label="Settings"><table class="settings"><tbody>${all.map(({ key, value, from }) => html`
		<tr key=${from + key}><td class="mono">${key}</td><td class="mono">${typeof value === 'object' ? JSON.stringify(value) : String(value)}</td>
			<td>${meaning(key, value)}</td><td class="muted p2">${from}</td></tr>`)}</tbody></table></div>`;
}
