import { confirm, del, Form, go, html, limitFields, Loaded, Missing, path, put, setLimits, Table, toast, usePoll, useVhostField } from '../ui.js';
import { TAGS_HINT, tagList } from './users.js';

export default function User({ parts: [name] }) {
	const at = `users/${path(name)}`;
	const poll = usePoll(at, undefined, 0);
	const permissions = usePoll(`${at}/permissions`, undefined, 15_000);
	const topics = usePoll(`${at}/topic-permissions`, undefined, 0);
	const limits = usePoll(`user-limits/${path(name)}`, undefined, 0);
	const own = limits.data?.[0]?.value;
	const vhostField = useVhostField();
	if (!poll.data) {
		return html`<${Missing} title=${name} error=${poll.error} gone=${`There is no user ${name}.`} all="users" />`;
	}
	const save = async (v) => {
		// A PUT without password or hash would take the password away.
		await put(at, v.password ? { tags: v.tags, password: v.password } : { tags: v.tags, password_hash: poll.data.password_hash, hashing_algorithm: poll.data.hashing_algorithm });
		toast(`User ${name} is changed.`);
		poll.refresh();
	};
	const restrict = async (v) => {
		await put(`topic-permissions/${path(v.vhost, name)}`, { exchange: v.exchange, write: v.write, read: v.read });
		toast(`Routing keys of ${name} on ${v.exchange} are restricted.`);
		topics.refresh();
	};
	const grant = async (v) => {
		await put(`permissions/${path(v.vhost, name)}`, { configure: v.configure, write: v.write, read: v.read });
		toast(`${name} may use ${v.vhost}.`);
		permissions.refresh();
	};
	const columns = [
		{ key: 'vhost', label: 'Virtual host', sort: 'vhost', class: 'name' },
		...['configure', 'write', 'read'].map((key) => ({ key, label: key[0].toUpperCase() + key.slice(1), draw: (p) => (p[key] === '' ? html`<span class="muted">nothing</span>` : html`<code>${p[key]}</code>`) })),
		{ key: 'act', label: '', class: 'act', draw: (p) => html`<button class="small danger" aria-label="Take away ${p.vhost}" onClick=${() => confirm({ title: `Take ${p.vhost} from ${name}?`, says: `${name} can no longer open connections to the virtual host ${p.vhost}.`, act: 'Take away', run: () => del(`permissions/${path(p.vhost, name)}`), done: `${name} may no longer use ${p.vhost}.`, after: permissions.refresh })}>Take away</button>` },
	];
	const topicColumns = [
		columns[0],
		{ key: 'exchange', label: 'Exchange', class: 'name' },
		{ key: 'write', label: 'Publish with', draw: (p) => html`<code>${p.write}</code>` },
		{ key: 'read', label: 'Bind with', draw: (p) => html`<code>${p.read}</code>` },
		{ key: 'act', label: '', class: 'act', draw: (p) => html`<button class="small danger" aria-label="Lift the restriction on ${p.exchange}" onClick=${() => confirm({ title: `Lift the restriction on ${p.exchange}?`, says: `${name} may use all routing keys of ${p.exchange} in ${p.vhost}.`, act: 'Lift', run: () => del(`topic-permissions/${path(p.vhost, name, p.exchange)}`), done: `${name} may use all routing keys of ${p.exchange}.`, after: topics.refresh })}>Lift</button>` },
	];
	return html`
		<div class="head"><h1>${name}</h1><span class="tags">${tagList(poll.data.tags).map((t) => html`<span class="tag" key=${t}>${t}</span>`)}</span><span class="spacer" />
			<div class="row actions"><button class="danger" onClick=${() => confirm({ title: `Delete the user ${name}?`, says: `${name} can no longer log in, and loses ${permissions.data?.length ?? 0} permissions.`, act: 'Delete', type: name, run: () => del(at), done: `User ${name} is deleted.`, after: () => go(['users']) })}>Delete</button></div></div>
		<section class="card"><header><h2>Permissions</h2><span class="muted">regular expressions of names, per virtual host</span></header>
			<${Loaded} of=${permissions} lines=${2}>${(all) => (all.length ? html`<${Table} label="Permissions" columns=${columns} rows=${all} id=${(p) => p.vhost} />` : html`<div class="empty"><p class="muted">${name} may use no virtual host yet. Grant one below.</p></div>`)}<//>
			<div class="body"><${Form} keep submit="Grant" onSubmit=${grant} fields=${[
				{ ...vhostField, wide: false },
				{ name: 'configure', label: 'Configure', value: '.*', mono: true, hint: 'Declare and delete.' },
				{ name: 'write', label: 'Write', value: '.*', mono: true, hint: 'Publish, bind to.' },
				{ name: 'read', label: 'Read', value: '.*', mono: true, hint: 'Consume, get, bind from.' },
			]}><h3>Grant or change</h3><//></div></section>
		<section class="card"><header><h2>Topic permissions</h2><span class="muted">which routing keys, on top of the permissions above</span></header>
			<${Loaded} of=${topics} lines=${1}>${(all) => (all.length ? html`<${Table} label="Topic permissions" columns=${topicColumns} rows=${all} id=${(p) => `${p.vhost}\n${p.exchange}`} />` : html`<div class="empty"><p class="muted">None: all routing keys.</p></div>`)}<//>
			<div class="body"><${Form} keep submit="Restrict" onSubmit=${restrict} fields=${[
				{ ...vhostField, wide: false },
				{ name: 'exchange', label: 'Topic exchange', value: 'amq.topic', required: true, mono: true },
				{ name: 'write', label: 'Publish with', value: '.*', mono: true, hint: 'Keys; {username} stands for the name.' },
				{ name: 'read', label: 'Bind with', value: '.*', mono: true },
			]}><h3>Restrict or change</h3><//></div></section>
		<section class="card"><header><h2>Limits</h2></header><div class="body"><${Form} key=${JSON.stringify(limits.data ?? null)} keep submit="Set limits" onSubmit=${(v) => setLimits('user-limits', name, own, v).then(limits.refresh)} fields=${limitFields(['max-connections', 'max-channels'], own)} /></div></section>
		<section class="card"><header><h2>Tags and password</h2></header><div class="body"><${Form} keep submit="Save" onSubmit=${save} fields=${[
			{ name: 'tags', label: 'Tags', value: tagList(poll.data.tags).join(','), hint: TAGS_HINT },
			{ name: 'password', label: 'New password', kind: 'password', autocomplete: 'new-password', hint: 'Empty: it stays as it is.' },
		]} /></div></section>`;
}
