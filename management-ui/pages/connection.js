import { BYTE_STEPS, bytes, Card, CHANNEL_COLUMNS, Chart, connectionTitle, count, del, Facts, FormDialog, go, Head, history, html, isAdministrator, Missing, Note, Opens, path, plural, record, Rows, Stale, Tags, Time, toast, usePoll, user } from '../ui.js';
import { client, State } from './connections.js';

const TRAFFIC = [
	{ key: 'recv', label: 'From client', color: 1, fill: true },
	{ key: 'send', label: 'To client', color: 2 },
];
/** Of a channel, but for what its connection has said. */
const COLUMNS = CHANNEL_COLUMNS.filter((k) => !['vhost', 'user'].includes(k.key)).map((k) => (k.key === 'name' ? { ...k, draw: (r) => `Channel ${r.number}` } : { ...k, sort: undefined }));
const throughput = (n) => `${bytes(n)}/s`;

export default function Connection({ parts: [name] }) {
	const at = `connections/${path(name)}`;
	const ringName = `connection:${name}`;
	const poll = usePoll(at, 5000, undefined, (c) => record(ringName, { recv: c.recv_oct_details.rate, send: c.send_oct_details.rate }));
	const channels = usePoll(`${at}/channels`, 5000);
	const c = poll.data;
	if (!c) {
		return html`<${Missing} title=${name} error=${poll.error} gone="This connection is closed." all="connections" />`;
	}
	const close = async (v) => {
		await del(at, v.reason ? { 'X-Reason': v.reason } : undefined);
		toast(`${connectionTitle(c)} is closed.`);
		go(['connections']);
	};
	const properties = Object.entries(c.client_properties ?? {}).filter(([, v]) => typeof v !== 'object');
	const capabilities = Object.entries(c.client_properties?.capabilities ?? {}).filter(([, v]) => v).map(([k]) => k);
	return html`
		<${Head} title=${connectionTitle(c)} note="${c.user} in ${c.vhost}" actions=${(isAdministrator() || c.user === user.get()?.name) && html`<${Opens} class="danger" label="Close connection" of=${(quit) => html`<${FormDialog} narrow danger title="Close ${connectionTitle(c)}?" submit="Close connection" onSubmit=${close} onClose=${quit}
			fields=${[{ name: 'reason', label: 'Reason, sent to the client', value: 'Closed by an operator' }]}>
			<p>The connection of ${c.user} from ${c.peer_host}:${c.peer_port} ends, with ${plural(c.channels, 'channel')}. What it did not acknowledge goes back to the queues. Most clients connect again.</p><//>`} />`}><${State} state=${c.state} /><//>
		<${Stale} error=${poll.error} gone="This connection is closed" />
		<${Card} label="Now"><${Facts} small facts=${[
			['From', `${c.peer_host}:${c.peer_port}`], ['To', `${c.host}:${c.port}`], ['Since', html`<${Time} at=${c.connected_at} />`],
			['Protocol', c.protocol], ['TLS', c.ssl ? [c.ssl_protocol, c.ssl_cipher].filter(Boolean).join(' ') || 'yes' : 'no'], ['Login', c.auth_mechanism],
			['Client', client(c)], ['Heartbeat', c.timeout ? `${c.timeout} s` : 'off'], ['Max frame size', bytes(c.frame_max)], ['Max channels', count(c.channel_max)],
			['Received', bytes(c.recv_oct)], ['Sent', bytes(c.send_oct)],
		]} /><//>
		<${Chart} low title="Traffic" series=${TRAFFIC} ring=${history(ringName)} at=${poll.at} unit=${throughput} steps=${BYTE_STEPS} />
		<${Card} title="Channels">
			<${Rows} of=${channels} label="Channels" columns=${COLUMNS} id=${(r) => r.name} none=${html`<${Note}>No channel is open.<//>`} /><//>
		<${Card} title="Client properties">
			<div class="table" tabindex="0" role="region" aria-label="Client"><table class="settings"><tbody>${properties.map(([k, v]) => html`<tr key=${k}><td class="mono">${k}</td><td>${String(v)}</td></tr>`)}
				${capabilities.length > 0 && html`<tr><td class="mono">capabilities</td><td><${Tags} of=${capabilities} /></td></tr>`}</tbody></table></div><//>`;
}
