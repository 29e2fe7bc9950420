import { bytes, count, Empty, html, link, List, path, publishSnippet, time, useSignal, utc, vhost } from '../ui.js';

const STATE = ({ blocked: 'bad', blocking: 'warn', flow: 'warn', closing: 'warn' });

export const State = ({ state }) => html`<span class="tag ${STATE[state] ?? ''}">${state}</span>`;

export const client = (c) => [c.client_properties?.product, c.client_properties?.version].filter(Boolean).join(' ') || '–';
export const connectionTitle = (c) => c.user_provided_name || c.client_properties?.connection_name || c.name;

const throughput = (n) => (typeof n === 'number' ? `${bytes(n)}/s` : '–');

const COLUMNS = [
	{ key: 'name', label: 'Connection', sort: 'name', class: 'name', draw: (c) => html`<a href=${link(['connection', c.name])}>${connectionTitle(c)}</a>` },
	{ key: 'user', label: 'User', sort: 'user' },
	{ key: 'vhost', label: 'Virtual host', sort: 'vhost', prio: 3, off: true },
	{ key: 'state', label: 'State', sort: 'state', draw: (c) => html`<${State} state=${c.state} />` },
	{ key: 'tls', label: 'TLS', sort: 'ssl', prio: 3, draw: (c) => (c.ssl ? c.ssl_protocol ?? 'yes' : 'no') },
	{ key: 'client', label: 'Client', prio: 3, draw: client },
	{ key: 'channels', label: 'Channels', num: true, sort: 'channels', prio: 2, draw: (c) => count(c.channels) },
	{ key: 'recv', label: 'From client', num: true, sort: 'recv_oct_details.rate', prio: 2, draw: (c) => throughput(c.recv_oct_details?.rate) },
	{ key: 'send', label: 'To client', num: true, sort: 'send_oct_details.rate', prio: 2, draw: (c) => throughput(c.send_oct_details?.rate) },
	{ key: 'heartbeat', label: 'Heartbeat', num: true, sort: 'timeout', prio: 3, off: true, draw: (c) => (c.timeout ? `${c.timeout} s` : 'off') },
	{ key: 'since', label: 'Since', sort: 'connected_at', prio: 3, draw: (c) => html`<span class="nowrap" title=${utc(c.connected_at)}>${time(c.connected_at)}</span>` },
];

export default function Connections() {
	const chosen = useSignal(vhost);
	return html`
		<div class="head"><h1>Connections</h1></div>
		<${List} id="connections" what="connections" where=${chosen ? `vhosts/${path(chosen)}/connections` : 'connections'} columns=${COLUMNS} rowId=${(c) => c.name} sort="name"
			empty=${html`<${Empty} title="No client is connected" code=${publishSnippet('', 'hello')}>This connects, declares a queue and publishes to it:<//>`} />`;
}
