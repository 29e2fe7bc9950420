// A virtual host as a graph: exchanges on the left, queues on the right.
import { amend, Graph, html, Loaded, Search, usePoll, useRoute, useSignal, vhost, within } from '../ui.js';

export default function Topology() {
	const chosen = useSignal(vhost);
	const { query } = useRoute();
	// A graph of several virtual hosts would join what cannot be joined.
	const vhosts = usePoll(chosen ? null : 'vhosts', undefined, 0);
	const name = chosen || (vhosts.data?.some((v) => v.name === '/') ? '/' : vhosts.data?.[0]?.name);
	const bindings = usePoll(name ? within('bindings', name) : null, undefined, 15_000);
	const queues = usePoll(name ? within('queues', name) : null, { page: 1, page_size: 500, sort: 'messages', sort_reverse: true, columns: 'name,messages,consumers' }, 10_000);
	const byName = new Map((queues.data?.items ?? queues.data ?? []).map((q) => [q.name, q]));
	return html`
		<div class="head"><h1>Topology</h1><span class="muted">${name ? `of ${name}` : ''}</span></div>
		<section class="card"><div class="tools"><${Search} label="Filter by exchange, queue or key" value=${query.name ?? ''} onChange=${(v) => amend({ name: v })} />
				<span class="muted">Round: exchange. Square: queue, with its messages. Amber: messages and no consumer.</span></div>
			<${Loaded} of=${bindings} lines=${10}>${(all) => html`<${Graph} bindings=${all} queues=${byName} name=${name} search=${query.name ?? ''} />`}<//></section>`;
}
