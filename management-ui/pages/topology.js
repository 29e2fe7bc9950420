// A virtual host as a graph: exchanges on the left, queues on the right.
import { amend, Card, Drift, Graph, Head, html, items, Loaded, Search, usePoll, useRoute, useSignal, vhost, within } from '../ui.js';

export default function Topology() {
	const chosen = useSignal(vhost);
	const { query } = useRoute();
	// A graph of several virtual hosts would join what cannot be joined.
	const vhosts = usePoll(chosen ? null : 'vhosts', 0);
	const name = chosen || (vhosts.data?.some((v) => v.name === '/') ? '/' : vhosts.data?.[0]?.name);
	const bindings = usePoll(name ? within('bindings', name) : null, 15_000);
	const queues = usePoll(name ? within('queues', name) : null, 10_000, { page: 1, page_size: 500, sort: 'messages', sort_reverse: true, columns: 'name,messages,consumers' });
	const byName = new Map(items(queues.data).map((q) => [q.name, q]));
	return html`
		<${Head} title="Topology" note=${name && `of ${name}`} />
		<${Drift} />
		<${Card}><div class="tools"><${Search} label="Filter by exchange, queue or key" value=${query.name ?? ''} onChange=${(v) => amend({ name: v })} />
				<span class="muted">Round: exchange. Square: queue, with its messages. Amber: messages and no consumer.</span></div>
			<${Loaded} of=${bindings} lines=${10}>${(all) => html`<${Graph} bindings=${all} queues=${byName} name=${name} search=${query.name ?? ''} />`}<//><//>`;
}
