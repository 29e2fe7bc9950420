// Is anything wrong? Then: how much flows, how much waits, and where.
import { bytes, count, duration, Empty, findings, Flow, html, Icon, isMonitoring, link, Live, Loaded, plural, Problem, publishSnippet, queueId, QUEUE_COLUMNS, QueueSpark, rateOf, recordQueue, Skeleton, Span, Table, useFlow, usePoll, useSignal, useState, vhost, within } from '../ui.js';

const FINDINGS_SHOWN = 5;
const ROWS = 8;
const COLUMNS = 'name,vhost,messages,messages_ready,messages_unacknowledged,messages_details.rate,consumers,message_stats.publish_details.rate,message_stats.deliver_get_details.rate,message_stats.redeliver_details.rate,message_stats.ack_details.rate';

/** The few queues at one end of an order. */
const useTop = (where, sort, everyMs) =>
	usePoll(where, { page: 1, page_size: ROWS, sort, sort_reverse: true, columns: COLUMNS }, everyMs, (d) => (d.items ?? d).forEach(recordQueue));

/** @param {StatusProps} props */
function Status({ found, ready, totals }) {
	const [all, showAll] = useState(false);
	if (!ready) return html`<section class="card status"><${Skeleton} lines=${1} /></section>`;
	if (found.length === 0) {
		return html`<section class="card status" aria-label="Status"><div class="line"><${Icon} name="ok" size=${20} /><strong>Nothing needs attention.</strong>
			<span class="muted">${plural(totals?.messages ?? 0, 'message')} in all queues.</span></div></section>`;
	}
	const bad = found.some((f) => f.level === 'bad');
	const shown = all ? found : found.slice(0, FINDINGS_SHOWN);
	return html`
		<section class="card status ${bad ? 'bad-card' : 'warn-card'}" aria-label="Status">
			<div class="line ${bad ? 'bad' : 'warn'}"><${Icon} name=${bad ? 'bad' : 'warn'} size=${20} /><strong>${plural(found.length, 'thing needs', 'things need')} attention</strong></div>
			<ul>${shown.map((f) => html`<li key=${f.text}><${Icon} name=${f.level} class=${f.level} /><span>${f.href ? html`<a href=${f.href}><b>${f.text}</b></a>` : html`<b>${f.text}</b>`} <span class="muted">${f.why}</span></span></li>`)}</ul>
			${found.length > FINDINGS_SHOWN && html`<button class="link" onClick=${() => showAll(!all)}>${all ? 'Show fewer' : `Show ${found.length - FINDINGS_SHOWN} more`}</button>`}
		</section>`;
}

/** Some of the columns of queues; here nothing is sorted, and most fits a phone. */
const columns = (...keys) => keys.map((key) => ({ ...QUEUE_COLUMNS.find((c) => c.key === key), sort: undefined, prio: key === 'spark' ? 2 : undefined }));
const DEEP_COLUMNS = columns('name', 'messages', 'growth', 'consumers', 'spark');
const BUSY_COLUMNS = [...columns('name', 'in', 'out', 'messages'), { key: 'spark', label: 'In lately', prio: 2, draw: (q) => html`<${QueueSpark} q=${q} of="in" />` }];

/** @param {MeterProps} props */
function Meter({ label, used, total, unit, alarm }) {
	const share = total > 0 ? Math.min(1, used / total) : 0;
	const level = alarm ? 'bad' : share > 0.9 ? 'warn' : '';
	return html`<div><dt>${label}</dt><dd>${unit(used)} <span class="muted nowrap">${total > 0 ? `of ${unit(total)}` : ''}</span>
		<div class="meter ${level}"><i style=${{ width: `${share * 100}%` }} /></div></dd></div>`;
}

const Node = ({ n }) => html`
	<section class="card" aria-label="Node ${n.name}">
		<header><h2>${n.name}</h2>${n.running === false ? html`<span class="tag bad">down</span>` : html`<span class="muted">up ${duration(n.uptime)}</span>`}</header>
		<dl class="facts small">
			<${Meter} label="Memory" used=${n.mem_used} total=${n.mem_limit} unit=${bytes} alarm=${n.mem_alarm} />
			<div><dt>Disk free</dt><dd class=${n.disk_free_alarm ? 'bad' : ''}>${bytes(n.disk_free)} ${n.disk_free_limit > 0 && html`<span class="muted nowrap">alarm below ${bytes(n.disk_free_limit)}</span>`}</dd></div>
			<${Meter} label="File descriptors" used=${n.fd_used} total=${n.fd_total} unit=${count} />
			${n.sockets_total > 0 && html`<${Meter} label="Sockets" used=${n.sockets_used} total=${n.sockets_total} unit=${count} />`}
		</dl>
	</section>`;

export default function Overview() {
	const chosen = useSignal(vhost);
	const { poll: overview, flow } = useFlow('overview', 'overview', (all) => [all.queue_totals, all.message_stats]);
	const o = overview.data;
	const nodes = usePoll(isMonitoring() ? 'nodes' : null, undefined, 10_000);
	const where = within('queues', chosen);
	const busiest = useTop(where, 'message_stats.publish_details.rate', 5000);
	const deepest = useTop(where, 'messages', 10_000);
	const growing = useTop(where, 'messages_details.rate', 10_000);
	const unacked = useTop(o?.queue_totals?.messages_unacknowledged > 0 ? where : null, 'messages_unacknowledged', 10_000);
	const looping = useTop(where, 'message_stats.redeliver_details.rate', 10_000);
	const alarm = (nodes.data ?? []).some((n) => n.mem_alarm || n.disk_free_alarm);
	const connections = usePoll(alarm ? 'connections' : null, { page: 1, page_size: 500, columns: 'name,state' }, 10_000);
	const items = (p) => p.data?.items ?? p.data ?? [];
	const blocked = items(connections).filter((c) => c.state === 'blocked' || c.state === 'blocking');
	const found = findings({ overview: o, nodes: nodes.data, deepest: items(deepest), growing: items(growing), unacked: items(unacked), looping: items(looping), blocked });
	const failed = overview.error && overview.error.status !== 0 ? overview.error : null;
	const totals = o?.object_totals;
	const busy = items(busiest).filter((q) => rateOf(q, 'publish') > 0 || rateOf(q, 'deliver_get') > 0);
	// Growing queues first, then the deep ones that stand still.
	const seen = new Set();
	const waiting = [...items(growing).filter((q) => q.messages_details?.rate > 0), ...items(deepest)]
		.filter((q) => q.messages > 0 && !seen.has(queueId(q)) && seen.add(queueId(q))).slice(0, ROWS);
	return html`
		<h1 class="sr">Overview</h1>
		<${Problem} error=${failed} />
		<${Status} found=${found} ready=${o !== undefined && deepest.data !== undefined && growing.data !== undefined} totals=${o?.queue_totals} />
		<div class="head"><h2>Flow</h2><span class="spacer" /><${Span} ...${flow} /></div>
		<${Flow} ...${flow} />
		<div class="two">
			<section class="card"><header><h2>Busiest queues</h2><span class="spacer" /><a href=${link(['queues'], { sort: 'message_stats.publish_details.rate', desc: 1 })}>All queues</a></header>
				<${Loaded} of=${busiest}>${() => (busy.length
					? html`<${Table} label="Busiest queues" columns=${BUSY_COLUMNS} rows=${busy} id=${queueId} />`
					: html`<${Empty} title="Nothing flows right now" code=${totals?.queues === 0 ? publishSnippet('', 'hello') : undefined}>${totals?.queues === 0 ? 'There is no queue yet. This declares one and publishes to it:' : 'Queues appear here while messages are published or delivered.'}<//>`)}<//>
			</section>
			<section class="card"><header><h2>Growing and deep queues</h2><span class="spacer" /><a href=${link(['queues'], { sort: 'messages', desc: 1 })}>All queues</a></header>
				<${Loaded} of=${deepest}>${() => (waiting.length
					? html`<${Table} label="Growing and deep queues" columns=${DEEP_COLUMNS} rows=${waiting} id=${queueId} />`
					: html`<${Empty} title="All queues are empty">Consumers keep up: nothing waits anywhere.<//>`)}<//>
			</section>
		</div>
		<section class="card" aria-label="Totals">${o ? html`
			<dl class="facts">
				${[['queues', 'Queues'], ['exchanges', 'Exchanges'], ['connections', 'Connections'], ['channels', 'Channels']].map(([key, label]) => html`<div key=${key}><dt>${label}</dt><dd><a href="#/${key}"><${Live} value=${count(totals?.[key])} /></a></dd></div>`)}
				<div><dt>Consumers</dt><dd>${count(totals?.consumers)}</dd></div>
				<div><dt>Version</dt><dd title="RabbitMQ API level ${o.rabbitmq_version ?? '?'}">${o.product_version ?? o.rabbitmq_version}</dd></div>
				<div><dt>Cluster</dt><dd>${o.cluster_name}</dd></div>
			</dl>` : html`<${Skeleton} lines=${2} />`}</section>
		${(nodes.data ?? []).map((n) => html`<${Node} key=${n.name} n=${n} />`)}`;
}
