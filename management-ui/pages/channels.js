import { CHANNEL_COLUMNS, Empty, Head, html, List, path, useSignal, vhost } from '../ui.js';

export default function Channels() {
	const chosen = useSignal(vhost);
	return html`
		<${Head} title="Channels" />
		<${List} id="channels" what="channels" where=${chosen ? `vhosts/${path(chosen)}/channels` : 'channels'} columns=${CHANNEL_COLUMNS} rowId=${(c) => c.name} sort="name"
			empty=${html`<${Empty} title="No channel is open">A connection opens channels to publish and consume. <a href="#/connections">See the connections</a>.<//>`} />`;
}
