// Is anything wrong? Then: how much flows, how much waits, and where.
import { BACKLOG_MIN, bytes, capital, Card, count, duration, Empty, Facts, findings, Flow, html, Icon, isAdministrator, isMonitoring, items, link, Live, Loaded, plural, publishSnippet, queueId, QUEUE_COLUMNS, QueueSpark, rateOf, recordQueue, Skeleton, Stale, Table, useDrift, useFlow, usePast, usePoll, useState, useWithin } from '../ui.js';

const FINDINGS_SHOWN = 5;
const ROWS = 8;
const COLUMNS = 'name,vhost,consumers,messages,messages_ready,messages_unacknowledged,messages_details,message_stats';

/** The few queues at one end of an order. */
const asked = (sort) => ({ page: 1, page_size: ROWS, sort, sort_reverse: true });
const useTop = (where, sort) => usePoll(where, 5000, { ...asked(sort), columns: COLUMNS }, (d) => items(d).forEach(recordQueue));
const BUSY = 'message_stats.publish_details.rate';

/** @param {StatusProps} props */
function Status({ found, ready, totals }) {
	const [all, showAll] = useState(false);
	const level = found.some((f) => f.level === 'bad') ? 'bad' : found.length ? 'warn' : 'ok';
	// What shows one line more would take that line itself.
	const few = found.length > FINDINGS_SHOWN + 1 ? FINDINGS_SHOWN : found.length;
	const more = found.length - few;
	return html`
		<section class="card status ${level}-card" aria-label="Status">${ready ? html`
			<div class="line ${level}"><${Icon} name=${level} size=${20} /><strong>${found.length ? `${plural(found.length, 'thing needs', 'things need')} attention` : 'Nothing needs attention.'}</strong>
				${!found.length && html`<span class="muted">${plural(totals?.messages ?? 0, 'message')} in all queues.</span>`}</div>
			<ul>${(all ? found : found.slice(0, few)).map((f) => html`<li key=${f.text}><${Icon} name=${f.level} class=${f.level} /><span>${f.href ? html`<a href=${f.href}><b>${f.text}</b></a>` : html`<b>${f.text}</b>`} <span class="muted">${f.why}</span></span></li>`)}</ul>
			${more > 0 && html`<button class="link" onClick=${() => showAll(!all)}>${all ? 'Show fewer' : `Show ${more} more`}</button>`}` : html`<${Skeleton} lines=${1} />`}
		</section>`;
}

/** Some of the columns of queues; here nothing is sorted, and most fits a phone. */
const columns = (...keys) => keys.map((key) => ({ ...QUEUE_COLUMNS.find((c) => c.key === key), sort: undefined, prio: key === 'spark' ? 2 : undefined }));
const DEEP_COLUMNS = columns('name', 'messages', 'growth', 'consumers', 'spark');
const BUSY_COLUMNS = [...columns('name', 'in', 'out', 'messages'), { ...columns('spark')[0], label: 'In lately', draw: (q) => html`<${QueueSpark} q=${q} of="in" />` }];

/** How much of something is used. @param {MeterProps} props */
function Meter({ used, total, unit, alarm }) {
	const share = total > 0 ? Math.min(1, used / total) : 0;
	return html`${unit(used)} ${total > 0 && html`<span class="muted nowrap">of ${unit(total)}</span>`}
		<div class="meter ${alarm ? 'bad' : share > 0.9 ? 'warn' : ''}"><i style=${{ width: `${share * 100}%` }} /></div>`;
}

const Node = ({ n }) => html`
	<${Card} title=${n.name} label="Node ${n.name}" note="up ${duration(n.uptime)}"><${Facts} small facts=${[
		['Memory', html`<${Meter} used=${n.mem_used} total=${n.mem_limit} unit=${bytes} alarm=${n.mem_alarm} />`],
		['Disk free', html`<span class=${n.disk_free_alarm ? 'bad' : ''}>${bytes(n.disk_free)}</span> ${n.disk_free_limit > 0 && html`<span class="muted nowrap">alarm below ${bytes(n.disk_free_limit)}</span>`}`],
		['File descriptors', html`<${Meter} used=${n.fd_used} total=${n.fd_total} unit=${count} />`],
		n.sockets_total > 0 && ['Sockets', html`<${Meter} used=${n.sockets_used} total=${n.sockets_total} unit=${count} />`],
	]} /><//>`;

/** The first queues in some order, and the way to the others. @param {TopProps} props */
const Top = ({ title, of, sort, rows, columns: shown, none }) => html`
	<${Card} title=${title} tools=${html`<a href=${link(['queues'], { sort, desc: 1 })}>All queues</a>`}>
		<${Loaded} of=${of}>${() => (rows.length ? html`<${Table} label=${title} columns=${shown} rows=${rows} id=${queueId} />` : none)}<//><//>`;

export default function Overview() {
	const { poll: overview, flow } = useFlow('overview', 'overview', (all) => [all.queue_totals, all.message_stats]);
	const o = overview.data;
	const nodes = usePoll(isMonitoring() ? 'nodes' : null, 10_000);
	const where = useWithin('queues');
	const busiest = useTop(where, BUSY);
	const deepest = useTop(where, 'messages');
	const growing = useTop(where, 'messages_details.rate');
	const unacked = useTop(o?.queue_totals?.messages_unacknowledged > 0 ? where : null, 'messages_unacknowledged');
	const looping = useTop(where, 'message_stats.redeliver_details.rate');
	usePast(where, asked(BUSY));
	usePast(where, asked('messages'));
	const alarm = (nodes.data ?? []).some((n) => n.mem_alarm || n.disk_free_alarm);
	const connections = usePoll(alarm ? 'connections' : null, 10_000, { page: 1, page_size: 500, columns: 'name,state' });
	const [busy, deep, grown] = [busiest, deepest, growing].map((p) => items(p.data));
	const [lost, unreadable] = ['queues', 'definitions'].map((what) => items(usePoll(isAdministrator() ? `lost/${what}` : null, 30_000, { page: 1, page_size: 20 }).data));
	const blocked = items(connections.data).filter((c) => c.state === 'blocked' || c.state === 'blocking');
	const found = findings({ overview: o, drift: useDrift().length, nodes: nodes.data, deepest: deep, growing: grown, unacked: items(unacked.data), looping: items(looping.data), blocked, lost: [...lost, ...unreadable] });
	const totals = o?.object_totals;
	const bare = totals?.queues === 0;
	const flowing = busy.filter((q) => rateOf(q, 'publish') > 0 || rateOf(q, 'deliver_get') > 0);
	// Growing backlogs first, then deep steady ones.
	const seen = new Set();
	const waiting = [...grown.filter((q) => q.messages_details?.rate > 0 && q.messages >= BACKLOG_MIN), ...deep]
		.filter((q) => q.messages > 0 && !seen.has(queueId(q)) && seen.add(queueId(q))).slice(0, ROWS);
	return html`
		<h1 class="sr">Overview</h1>
		<${Stale} error=${overview.error} />
		<${Status} found=${found} ready=${o !== undefined && deepest.data !== undefined && growing.data !== undefined} totals=${o?.queue_totals} />
		<${Flow} ...${flow} />
		<div class="two">
			<${Top} title="Busiest queues" of=${busiest} sort=${BUSY} rows=${flowing} columns=${BUSY_COLUMNS}
				none=${html`<${Empty} title="Nothing flows right now" code=${bare && publishSnippet('', 'hello')}>${bare ? 'There is no queue yet. This declares one and publishes to it:' : 'Queues appear here while messages flow.'}<//>`} />
			<${Top} title="Growing and deep queues" of=${deepest} sort="messages" rows=${waiting} columns=${DEEP_COLUMNS} none=${html`<${Empty} title="Nothing waits">No queue holds a message.<//>`} />
		</div>
		<${Card} label="Totals">${o ? html`<${Facts} facts=${[
			...['queues', 'exchanges', 'connections', 'channels'].map((key) => [capital(key), html`<a href="#/${key}"><${Live} value=${count(totals?.[key])} /></a>`]),
			['Consumers', count(totals?.consumers)],
			['Version', o.product_version ?? o.rabbitmq_version, `RabbitMQ API level ${o.rabbitmq_version ?? '?'}`],
			['Cluster', o.cluster_name],
		]} />` : html`<${Skeleton} lines=${2} />`}<//>
		${(nodes.data ?? []).map((n) => html`<${Node} key=${n.name} n=${n} />`)}`;
}
