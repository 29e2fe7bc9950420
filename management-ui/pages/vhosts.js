import { acts, Asks, Card, chooseVhost, count, del, FormDialog, go, Head, html, isAdministrator, limitFields, NAME, named, number, Opens, path, plural, put, Rows, setLimits, toast, usePoll, useState, vhostGone } from '../ui.js';

const FIELDS = [NAME, { name: 'description', label: 'Description' }];

export default function Vhosts() {
	const poll = usePoll('vhosts', 10_000);
	const limits = usePoll(isAdministrator() ? 'vhost-limits' : null, 15_000);
	// Here and not in its row: what is typed must not go with the row when someone else deletes it.
	const [bounded, bound] = useState(null);
	const limitsOf = (name) => limits.data?.find((l) => l.vhost === name)?.value;
	const columns = [
		named('Virtual host', (v) => html`<a href="#/queues" onClick=${() => chooseVhost(v.name)}>${v.name}</a>`),
		{ key: 'description', label: 'Description', prio: 3 },
		number('ready', 'Ready', 'messages_ready'),
		number('unacked', 'Unacked', 'messages_unacknowledged', count, { prio: 2 }),
		{ key: 'limits', label: 'Limits', prio: 3, draw: (v) => Object.entries(limitsOf(v.name) ?? {}).map(([k, n]) => `${k} ${count(n)}`).join(', ') },
		acts((v) => isAdministrator() && html`<button class="small" aria-label="Limits of ${v.name}" onClick=${() => bound(v.name)}>Limits</button>
			<${Asks} small act="Delete" name="Delete ${v.name}" title="Delete the virtual host ${v.name}?" type=${v.name} run=${() => del(`vhosts/${path(v.name)}`)} done="${v.name} is deleted." after=${() => { poll.refresh(); vhostGone.set({}); }}
				says="Deletes all its exchanges, queues, policies and permissions, and ${plural(v.messages, 'message')}; its connections are closed. This cannot be undone." />`),
	];
	const add = async (v) => {
		await put(`vhosts/${path(v.name)}`, { description: v.description });
		toast(`Virtual host ${v.name} added.`);
		poll.refresh();
		chooseVhost(v.name);
		go(['queues']);
	};
	return html`
		<${Head} title="Virtual hosts" actions=${isAdministrator() && html`<${Opens} class="primary" plus label="Add a virtual host" of=${(close) => html`<${FormDialog} narrow title="Add a virtual host" submit="Add" onSubmit=${add} onClose=${close} fields=${FIELDS} />`} />`} />
		<${Card}><${Rows} of=${poll} label="Virtual hosts" columns=${columns} id=${(v) => v.name} /><//>
		${bounded !== null && html`<${FormDialog} narrow title="Limits of ${bounded}" submit="Save" onClose=${() => bound(null)}
			onSubmit=${(set) => setLimits('vhost-limits', bounded, limitsOf(bounded), set).then(limits.refresh)} fields=${limitFields(['max-connections', 'max-queues'], limitsOf(bounded))} />`}`;
}
