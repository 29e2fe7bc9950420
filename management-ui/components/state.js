// The three faces of data that is not there: still coming, refused, none yet.
import { html } from '../lib.js';
import { Card, Head } from './card.js';
import { Icon } from './icon.js';
import { Code } from './code.js';

export const Skeleton = ({ lines = 5 }) => html`
	<div class="skeleton" role="status"><span class="sr">Loading</span>${Array.from({ length: lines }, () => html`<i />`)}</div>`;

/** @param {ProblemProps} props */
export const Problem = ({ error, doing }) => (error ? html`
	<div class="problem" role="alert"><${Icon} name="bad" /><span>${doing ? `${doing}: ` : ''}${error.message ?? String(error)}</span></div>` : null);

/** Beside what was seen before. That the server is gone is said elsewhere. @param {StaleProps} props */
export const Stale = ({ error, gone }) => error?.status !== 0 && html`<${Problem} error=${gone && error?.status === 404 ? new Error(`${gone}; what you see is its last state.`) : error} />`;

/** A page whose thing is still coming, or is not there. `all`: the list that it would be in. */
export const Missing = ({ title, error, gone, all }) => html`<${Head} title=${title} />${error
	? html`<${Problem} error=${error.status === 404 ? new Error(gone) : error} /><p><a href="#/${all}">All ${all}</a></p>`
	: html`<${Card}><${Skeleton} lines=${8} /><//>`}`;

/** @param {EmptyProps} props */
export const Empty = ({ title, children, code, folded, of }) => html`
	<div class="empty"><h2>${title}</h2>${children && html`<p class="muted">${children}</p>`}${code && (folded ? html`<details class="wide"><summary>Show code</summary><div class="stack"><${Code} variants=${code} of=${of} /></div></details>` : html`<${Code} variants=${code} of=${of} />`)}</div>`;

/** @param {LoadedProps} props */
export function Loaded({ of: poll, lines, children }) {
	const draw = Array.isArray(children) ? children[0] : children;
	if (poll.data === undefined) return poll.error ? html`<div class="body"><${Problem} error=${poll.error} /></div>` : html`<${Skeleton} lines=${lines} />`;
	return html`${poll.error && html`<div class="body"><${Stale} error=${poll.error} /></div>`}${draw(poll.data)}`;
}
