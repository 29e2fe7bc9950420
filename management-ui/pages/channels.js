import { CHANNEL_COLUMNS, Empty, Head, html, List, useOfVhost } from '../ui.js';

export default function Channels() {
	const where = useOfVhost('channels');
	return html`
		<${Head} title="Channels" />
		<${List} id="channels" what="channels" where=${where} columns=${CHANNEL_COLUMNS} rowId=${(c) => c.name} sort="name"
			empty=${html`<${Empty} title="No channel is open">A connection opens channels to publish and consume. <a href="#/connections">See the connections</a>.<//>`} />`;
}
