import { count, DeclareHead, DURABLE, Empty, exchangeName, html, inVhost, link, List, named, number, plain, Tags, usePoll, useState, useWithin, VHOST } from '../ui.js';

const DELAYS = 'x-delayed-message';
/** Names that do not begin with `amq.`, for an engine that knows no such thing as not. */
const OWN = '^([^a]|a[^m]|am[^q]|amq[^.]|.{0,3}$)';

const COLUMNS = [
	named('Exchange', (x) => html`<a href=${link(['exchange', x.vhost, x.name])}>${exchangeName(x.name)}</a>${inVhost(x)}`),
	VHOST,
	plain('type', 'Type'),
	{ key: 'features', label: 'Features', prio: 2, draw: (x) => html`<${Tags} of=${[!x.durable && 'transient', x.auto_delete && 'auto-delete', x.internal && 'internal', x.arguments?.['alternate-exchange'] && 'alternate', x.policy]} />` },
	number('delayed', 'Delayed', 'messages_delayed', (n) => (n === undefined ? '' : count(n)), { title: 'Messages that are not due yet' }),
];

export default function Exchanges() {
	const where = useWithin('exchanges');
	const kinds = usePoll('overview', 0).data?.exchange_types?.map((t) => t.name) ?? ['direct'];
	const [kind, setKind] = useState('direct');
	const [all, showAll] = useState(false);
	return html`
		<${DeclareHead} title="Exchanges" kind="exchange" label="Declare an exchange" example="alternate-exchange=unrouted" fields=${[
			{ name: 'type', label: 'Type', kind: 'select', options: kinds, value: kind, wide: true, onChange: (e) => setKind(e.currentTarget.value) },
			...(kind === DELAYS ? [{ name: 'delayed', label: 'Routes, when due, as', kind: 'select', options: kinds.filter((k) => k !== DELAYS), wide: true }] : []),
			DURABLE,
			{ name: 'auto_delete', label: 'Auto-delete', kind: 'checkbox', hint: 'Deleted with its last binding.' },
			{ name: 'internal', label: 'Internal', kind: 'checkbox', hint: 'Clients cannot publish to it.' },
		]} />
		<${List} id="exchanges" what="exchanges" where=${where} columns=${COLUMNS} rowId=${(x) => `${x.vhost}\n${x.name}`} sort="name" pattern=${all ? '' : OWN}
			tools=${html`<label class="row"><input type="checkbox" checked=${all} onChange=${() => showAll(!all)} />Show amq.*</label>`}
			empty=${html`<${Empty} title="No exchange">You may not see any here.<//>`} />`;
}
