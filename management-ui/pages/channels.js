import { CHANNEL_COLUMNS, Empty, Head, html, isMonitoring, items, List, useOfVhost, usePoll } from '../ui.js';
import { NoneOfYours } from './connections.js';

export default function Channels() {
	const where = useOfVhost('channels');
	// Channels do not say what their client calls itself.
	const { data } = usePoll(useOfVhost('connections'), 15_000, { page: 1, page_size: 500, columns: 'name,user_provided_name' });
	const clients = new Map(items(data).map((c) => [c.name, c.user_provided_name]));
	const client = (c) => clients.get(c.connection_details?.name);
	const columns = CHANNEL_COLUMNS.map((k) => (k.key === 'name' ? { ...k, draw: (c) => html`${k.draw?.(c)} <span class="muted">${client(c)}</span>` } : k));
	return html`
		<${Head} title="Channels" />
		<${List} id="channels" what="channels" where=${where} columns=${columns} rowId=${(c) => c.name} sort="name" texts=${(c) => [client(c), c.name, c.user]}
			empty=${isMonitoring() ? html`<${Empty} title="No channel is open">A connection opens channels to publish and consume. <a href="#/connections">See the connections</a>.<//>` : html`<${NoneOfYours} what="channel" />`} />`;
}
