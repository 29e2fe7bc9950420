// Cards, and small things in them.
import { html, plain, useState, vhost } from '../lib.js';
import { Icon } from './icon.js';

/** @param {CardProps} props */
export const Card = ({ title, note, tools, label, id, children }) => html`
	<section class="card" aria-label=${label} id=${id}>${title && html`<header><h2>${title}</h2>${note && html`<span class="muted">${note}</span>`}${tools && html`<span class="spacer" />${tools}`}</header>`}${children}</section>`;

/** Each a text, or a text and what it means. What is false is left out. @param {{of: any[]}} props */
export const Tags = ({ of }) => html`<span class="tags">${of.filter(Boolean).map((t) => [t].flat()).map(([text, title]) => html`<span class="tag" key=${text} title=${title}>${text}</span>`)}</span>`;

/** Behind a name, where another may be called so. */
export const inVhost = (thing) => !vhost.get() && thing.vhost !== '/' && html` <span class="muted">in ${thing.vhost}</span>`;

/** Why there is nothing. */
export const Note = ({ children }) => html`<div class="empty"><p class="muted">${children}</p></div>`;

/** A column of what is written for machines. */
export const coded = (key, label, more) => plain(key, label, { draw: (row) => html`<code>${row[key]}</code>`, ...more });

/** Arguments as a column. */
export const argued = (prio) => ({ key: 'arguments', label: 'Arguments', prio, draw: (row) => Object.keys(row.arguments ?? {}).length > 0 && html`<code>${JSON.stringify(row.arguments)}</code>` });

/** The column of a row's buttons. */
export const acts = (draw) => ({ key: 'act', label: '', class: 'act', draw: (row) => html`<span class="row end">${draw(row)}</span>` });

/** A page's heading. @param {HeadProps} props */
export const Head = ({ title, note, children, actions }) => html`<div class="head"><h1>${title}</h1>${note && html`<span class="muted">${note}</span>`}${children}<span class="spacer" />${actions && html`<div class="row actions">${actions}</div>`}</div>`;

/** A button and the dialog that it opens. @param {OpensProps} props */
export function Opens({ label, of, class: kind, disabled, title, plus, name }) {
	const [open, setOpen] = useState(false);
	return html`<button class=${kind} disabled=${disabled} title=${title} aria-label=${name} onClick=${() => setOpen(true)}>${plus && html`<${Icon} name="plus" />`}${label}</button>${open && of(() => setOpen(false))}`;
}

/** One of a few. @param {SegmentedProps} props */
export const Segmented = ({ label, of, value, choose }) => html`<div class="segmented" role="group" aria-label=${label}>${of.map(([v, name]) => html`
	<button type="button" class="small" key=${name} aria-pressed=${String(v === value)} onClick=${() => choose(v)}>${name}</button>`)}</div>`;

/** To the pages before and behind. @param {StepsProps} props */
export const Steps = ({ what, back, on, between, children }) => (back || on || children) && html`<nav class="pager" aria-label="Pages of ${what}">${children}<span class="spacer" />${(back || on) && html`
	<button class="small" disabled=${!back} onClick=${back}>Previous</button>${between}<button class="small" disabled=${!on} onClick=${on}>Next</button>`}</nav>`;
