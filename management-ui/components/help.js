import { GO_KEYS, html, mayGo } from '../lib.js';
import { Dialog } from './dialog.js';

const keys = () => [
	['/', 'Search the list, or go to the queues'],
	['?', 'This help'],
	...Object.entries(GO_KEYS).filter(([, page]) => mayGo(page)).map(([key, page]) => [`g ${key}`, `To the ${page}`]),
	['Esc', 'Close a dialog, leave the search'],
];

export const Help = ({ onClose }) => html`
	<${Dialog} title="Help" narrow onClose=${onClose}><div class="inner">
		<h2>Keys</h2>
		<table><tbody>${keys().map(([key, says]) => html`<tr><td class="nowrap">${key.split(' ').map((k) => html`<kbd>${k}</kbd> `)}</td><td>${says}</td></tr>`)}</tbody></table>
		<p class="muted">Every view has its own address, to share. All the page does is also in the HTTP API under <code>/api</code>.
			The session ends after an hour without use.</p>
		<div class="row end"><button class="primary" onClick=${onClose}>Close</button></div>
	</div><//>`;
