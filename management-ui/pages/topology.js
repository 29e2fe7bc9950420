// Virtual hosts as graphs: exchanges on the left, queues on the right.
import { amend, Card, DEEP, Drift, Graph, Head, html, items, Loaded, plural, Search, usePoll, useRoute, useSignal, vhost, within } from '../ui.js';

/** More graphs are too much for a page. */
const GRAPHS_MAX = 10;

export default function Topology() {
	const chosen = useSignal(vhost);
	const { query: { name: search = '' } } = useRoute();
	const bindings = usePoll(within('bindings', chosen), 15_000);
	const queues = items(usePoll(within('queues', chosen), 15_000, DEEP).data);
	const hit = (b) => b.source !== '' && [b.source, b.destination, b.routing_key].some((t) => t.toLowerCase().includes(search.toLowerCase()));
	return html`
		<${Head} title="Topology" note=${chosen && `of ${chosen}`} />
		<${Drift} />
		<${Card}><div class="tools"><${Search} label="Filter by exchange, queue or key" value=${search} onChange=${(v) => amend({ name: v })} />
				<span class="muted">Round: exchange. Square: queue, with its messages. Amber: messages that nobody consumes.</span></div><//>
		<${Loaded} of=${bindings} lines=${10}>${(all) => {
			const found = all.filter(hit);
			// One graph would join what cannot be joined.
			const names = [...new Set(found.map((b) => b.vhost))].sort();
			const of = (list, name) => list.filter((one) => one.vhost === name);
			return html`<div class="stack graphs">${(names.length ? names : [chosen]).slice(0, GRAPHS_MAX).map((name) => html`<${Card} key=${name} title=${!chosen && (names.length > 1 || name !== '/') && name}>
				<${Graph} bindings=${of(found, name)} queues=${new Map(of(queues, name).map((q) => [q.name, q]))} name=${name} search=${search} /><//>`)}</div>
				${names.length > GRAPHS_MAX && html`<p class="muted">${plural(names.length - GRAPHS_MAX, 'virtual host is', 'virtual hosts are')} not drawn. Choose one above.</p>`}`;
		}}<//>`;
}
