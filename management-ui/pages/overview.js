// Is anything wrong? Then: how much flows, how much waits, and where.
import { BACKLOG_MIN, bytes, capital, Card, connectionTitle, count, DEEP, duration, Empty, Facts, findings, Flow, html, Icon, isAdministrator, isHoarded, isMonitoring, isStalled, items, link, Live, Loaded, path, plural, publishSnippet, queueId, QUEUE_COLUMNS, QueueSpark, rateOf, recordQueue, Skeleton, Stale, Table, together, useDrift, useFlow, usePast, usePoll, useSignal, vhost, within } from '../ui.js';

const FINDINGS_SHOWN = 5;
const ROWS = 8;

/** The few queues at one end of an order. */
const asked = (sort) => ({ page: 1, page_size: ROWS, sort, sort_reverse: true });
const useTop = (where, sort) => usePoll(where, 5000, { ...DEEP, ...asked(sort) }, (d) => items(d).forEach(recordQueue));
const BUSY = 'message_stats.publish_details.rate';

/** @param {StatusProps} props */
function Status({ found, waiting }) {
	const level = found.some((f) => f.level === 'bad') ? 'bad' : found.length ? 'warn' : 'ok';
	// What shows one line more would take that line itself.
	const few = found.length > FINDINGS_SHOWN + 1 ? FINDINGS_SHOWN : found.length;
	const line = (f) => html`<li key=${f.text}><${Icon} name=${f.level} class=${f.level} /><span><a href=${f.href}><b>${f.text}</b></a> <span class="muted">${f.why}</span>${f.by && html` <a href=${f.by.href}>${f.by.text}</a>`}</span></li>`;
	return html`
		<section class="card status ${level}-card" aria-label="Status">
			<div class="line ${level}"><${Icon} name=${level} size=${20} /><strong>${found.length ? `${plural(found.length, 'thing needs', 'things need')} attention` : 'Nothing needs attention.'}</strong>
				${!found.length && html`<span class="muted">${waiting}</span>`}</div>
			<ul>${found.slice(0, few).map(line)}</ul>
			${found.length > few && html`<details><summary>Show ${found.length - few} more</summary><ul>${found.slice(few).map(line)}</ul></details>`}
		</section>`;
}

/** Some of the columns of queues; here nothing is sorted, and most fits a phone. */
const columns = (...keys) => keys.map((key) => ({ ...QUEUE_COLUMNS.find((c) => c.key === key), sort: undefined, prio: key === 'spark' ? 2 : undefined }));
const DEEP_COLUMNS = columns('name', 'messages', 'growth', 'consumers', 'spark');
const BUSY_COLUMNS = [...columns('name', 'in', 'out', 'messages'), { ...columns('spark')[0], label: 'In (5 min)', draw: (q) => html`<${QueueSpark} q=${q} of="in" />` }];

/** How much of something is used. @param {MeterProps} props */
function Meter({ used, total, unit, alarm }) {
	const share = total > 0 ? Math.min(1, used / total) : 0;
	return html`${unit(used)} ${total > 0 && html`<span class="muted nowrap">of ${unit(total)}</span>`}
		<div class="meter ${alarm ? 'bad' : share > 0.9 ? 'warn' : ''}"><i style=${{ width: `${share * 100}%` }} /></div>`;
}

/** all: whose it is while the page shows one virtual host */
const Node = ({ n, all }) => html`
	<${Card} title=${n.name} label="Node ${n.name}" note="${all}up ${duration(n.uptime)}"><${Facts} small facts=${[
		['Memory', html`<${Meter} used=${n.mem_used} total=${n.mem_limit} unit=${bytes} alarm=${n.mem_alarm} />`],
		['Disk free', html`<span class=${n.disk_free_alarm ? 'bad' : ''}>${bytes(n.disk_free)}</span> ${n.disk_free_limit > 0 && html`<span class="muted nowrap">alarm below ${bytes(n.disk_free_limit)}</span>`}`],
		['File descriptors', html`<${Meter} used=${n.fd_used} total=${n.fd_total} unit=${count} />`],
	]} /><//>`;

/** The first queues in some order, and the way to the others. @param {TopProps} props */
const Top = ({ title, of, sort, rows, columns: shown, none }) => html`
	<${Card} title=${title} tools=${html`<a href=${link(['queues'], { sort, desc: 1 })}>All queues</a>`}>
		<${Loaded} of=${of}>${() => (rows.length ? html`<${Table} label=${title} columns=${shown} rows=${rows} id=${queueId} />` : none)}<//><//>`;

/** How many there are of something in the chosen virtual host. */
const useCount = (where) => usePoll(where, 15_000, { page: 1, page_size: 1, columns: 'name' }).data?.total_count;

/** Where the numbers are: the broker's, those of the chosen virtual host, or of all together that one may see. @type {Source} */
const source = (chosen) => (chosen ? [`vhosts/${path(chosen)}`, (one) => [one, one.message_stats]]
	: isMonitoring() ? ['overview', (all) => [all.queue_totals, all.message_stats]] : ['vhosts', together]);

/** Which consumer holds most of a queue's messages. @returns {Holder | undefined} */
function useHolder(queue) {
	const { consumer_details: consumers = [] } = usePoll(queue ? `queues/${path(queue.vhost, queue.name)}` : null, 15_000).data ?? {};
	const most = [...consumers].sort((a, b) => b.messages_unacknowledged - a.messages_unacknowledged)[0];
	const name = most?.channel_details?.connection_name;
	const connection = usePoll(name && isMonitoring() ? `connections/${path(name)}` : null, 0).data;
	return name && { queue, text: `${connection ? connectionTitle(connection) : name} holds ${count(most.messages_unacknowledged)} (consumer ${most.consumer_tag}).`, href: connection && link(['connection', name]) };
}

function Shown({ chosen }) {
	const [at, numbers] = source(chosen);
	const whole = at === 'overview';
	const { poll, flow } = useFlow(at, at, numbers, whole);
	const other = usePoll(whole ? null : 'overview', 10_000);
	const o = whole ? poll.data : other.data;
	const [lengths] = poll.data ? numbers(poll.data) : [];
	const nodes = usePoll(isMonitoring() ? 'nodes' : null, 10_000);
	const where = within('queues', chosen);
	const busiest = useTop(where, BUSY);
	const deepest = useTop(where, 'messages');
	const looping = useTop(where, 'message_stats.redeliver_details.rate');
	usePast(where, asked(BUSY));
	usePast(where, asked('messages'));
	const [busy, deep] = [busiest, deepest].map((p) => items(p.data));
	// There may be more as deep.
	const wide = usePoll(deep[ROWS - 1]?.messages >= BACKLOG_MIN ? where : null, 15_000, DEEP, (d) => items(d).forEach(recordQueue));
	const all = wide.data ? items(wide.data) : deep;
	const holder = useHolder(all.find(isStalled) ?? all.find(isHoarded));
	const alarm = (nodes.data ?? []).some((n) => n.mem_alarm || n.disk_free_alarm);
	const connections = usePoll(alarm ? 'connections' : null, 10_000, { page: 1, page_size: 500, columns: 'name,state' });
	const [lost, unreadable] = ['queues', 'definitions'].map((what) => items(usePoll(isAdministrator() ? `lost/${what}` : null, 30_000, { page: 1, page_size: 20 }).data));
	const blocked = items(connections.data).filter((c) => c.state === 'blocked' || c.state === 'blocking');
	const found = findings({ overview: o, chosen, drift: useDrift().length, nodes: nodes.data, deepest: all, looping: items(looping.data), blocked, lost: [...lost, ...unreadable], holder });
	const [exchanges, clients, channels, consumers] = [within('exchanges', chosen), `vhosts/${path(chosen)}/connections`, `vhosts/${path(chosen)}/channels`, within('consumers', chosen)].map((what) => useCount(chosen ? what : null));
	const totals = chosen ? { queues: busiest.data?.total_count, exchanges, connections: clients, channels, consumers } : o?.object_totals;
	const bare = totals?.queues === 0;
	const flowing = busy.filter((q) => rateOf(q, 'publish') > 0 || rateOf(q, 'deliver_get') > 0);
	// Growing backlogs first, and room for deep steady ones.
	const growth = (q) => q.messages_details?.rate ?? 0;
	const grown = all.filter((q) => growth(q) > 0 && q.messages >= BACKLOG_MIN).sort((a, b) => growth(b) - growth(a)).slice(0, ROWS / 2);
	const waiting = [...new Map([...grown, ...deep].filter((q) => q.messages > 0).map((q) => [queueId(q), q])).values()].slice(0, ROWS);
	// What came one by one would push the rest down.
	if (![poll, busiest, deepest, ...(whole ? [nodes] : [])].every((p) => p.data !== undefined || p.error)) return html`<h1 class="sr">Overview</h1><${Card} key="wait"><${Skeleton} lines=${16} /><//>`;
	return html`
		<h1 class="sr">Overview</h1>
		<${Stale} error=${poll.error} />
		<${Status} found=${found} waiting="${plural(lengths?.messages ?? 0, 'message')} in all queues${chosen ? ` of ${chosen}` : ''}." />
		<${Flow} ...${flow} note=${chosen ? `of ${chosen}` : !whole && 'of the virtual hosts that you may use'} />
		<div class="two">
			<${Top} title="Busiest queues" of=${busiest} sort=${BUSY} rows=${flowing} columns=${BUSY_COLUMNS}
				none=${html`<${Empty} title="No messages flowing" code=${bare && publishSnippet('', 'hello')}>${bare ? 'There is no queue yet. This declares one and publishes to it:' : 'Queues appear here while messages flow.'}<//>`} />
			<${Top} title="Growing and deep queues" of=${deepest} sort="messages" rows=${waiting} columns=${DEEP_COLUMNS} none=${html`<${Empty} title="No backlog">No queue holds a message.<//>`} />
		</div>
		<${Card} label="Totals">${o ? html`<${Facts} facts=${[
			...['queues', 'exchanges', 'connections', 'channels'].map((key) => [/^c/.test(key) && !isMonitoring() ? `Your ${key}` : capital(key), html`<a href="#/${key}"><${Live} value=${count(totals?.[key])} /></a>`]),
			['Consumers', count(totals?.consumers)],
			['Version', o.product_version, `RabbitMQ API level ${o.rabbitmq_version ?? '?'}`],
			['Cluster', o.cluster_name],
		]} />` : html`<${Skeleton} lines=${2} />`}<//>
		${(nodes.data ?? []).map((n) => html`<${Node} key=${n.name} n=${n} all=${chosen && 'all virtual hosts, '} />`)}`;
}

export default function Overview() {
	const chosen = useSignal(vhost);
	return html`<${Shown} key=${chosen} chosen=${chosen} />`;
}
