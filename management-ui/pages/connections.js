import { bytes, connectionTitle, count, Empty, Head, html, isMonitoring, link, List, named, number, plain, publishSnippet, Time, useOfVhost, VHOST } from '../ui.js';

const STATE = ({ blocked: 'bad', blocking: 'warn', flow: 'warn', closing: 'warn' });

export const State = ({ state }) => html`<span class="tag ${STATE[state] ?? ''}">${state}</span>`;

export const client = (c) => [c.client_properties?.product, c.client_properties?.version].filter(Boolean).join(' ') || '–';

const throughput = (n) => (typeof n === 'number' ? `${bytes(n)}/s` : '–');

const COLUMNS = [
	{ ...named('Connection', (c) => html`<a href=${link(['connection', c.name])} title=${c.name}>${connectionTitle(c)}</a>`), sort: 'user_provided_name' },
	plain('user', 'User'),
	VHOST,
	plain('state', 'State', { draw: (c) => html`<${State} state=${c.state} />` }),
	{ key: 'tls', label: 'TLS', sort: 'ssl', prio: 3, draw: (c) => (c.ssl ? c.ssl_protocol ?? 'yes' : 'no') },
	{ key: 'client', label: 'Client', prio: 3, draw: client },
	number('channels', 'Channels', 'channels', count, { prio: 2 }),
	number('recv', 'From client', 'recv_oct_details.rate', throughput, { prio: 2 }),
	number('send', 'To client', 'send_oct_details.rate', throughput, { prio: 2 }),
	number('heartbeat', 'Heartbeat', 'timeout', (n) => (n ? `${n} s` : 'off'), { prio: 3, off: true }),
	{ key: 'since', label: 'Since', sort: 'connected_at', prio: 3, draw: (c) => html`<${Time} at=${c.connected_at} />` },
];

/** What one who sees only what is theirs is told where there is nothing. */
export const NoneOfYours = ({ what }) => html`<${Empty} title="None of yours">You have no open ${what}. Those of others are shown to users with the tag monitoring.<//>`;

export default function Connections() {
	const where = useOfVhost('connections');
	return html`
		<${Head} title="Connections" />
		<${List} id="connections" what="connections" where=${where} columns=${COLUMNS} rowId=${(c) => c.name} sort="user_provided_name" texts=${(c) => [c.user_provided_name, c.name, c.user]}
			empty=${isMonitoring() ? html`<${Empty} title="No client is connected" code=${publishSnippet('', 'hello')}>This connects, declares a queue and publishes to it:<//>` : html`<${NoneOfYours} what="connection" />`} />`;
}
