import { FormDialog, go, html, Icon, link, Loaded, path, put, Table, toast, usePoll, useState } from '../ui.js';

export const TAGS_HINT = 'Comma-separated: management, policymaker, monitoring, administrator, impersonator. None: AMQP only.';
export const tagList = (tags) => [tags].flat().flatMap((t) => String(t ?? '').split(',')).map((t) => t.trim()).filter(Boolean);

export default function Users() {
	const poll = usePoll('users', undefined, 15_000);
	const permissions = usePoll('permissions', undefined, 15_000);
	const [adding, setAdding] = useState(false);
	const vhostsOf = (name) => (permissions.data ?? []).filter((p) => p.user === name).map((p) => p.vhost);
	const columns = [
		{ key: 'name', label: 'User', sort: 'name', class: 'name', draw: (u) => html`<a href=${link(['user', u.name])}>${u.name}</a>` },
		{ key: 'tags', label: 'Tags', draw: (u) => html`<span class="tags">${tagList(u.tags).map((t) => html`<span class="tag" key=${t}>${t}</span>`)}</span>` },
		{ key: 'vhosts', label: 'Virtual hosts', draw: (u) => vhostsOf(u.name).join(', ') || html`<span class="muted">none</span>` },
		{ key: 'password', label: 'Password', prio: 2, draw: (u) => (u.password_hash === '' ? html`<span class="muted">none: cannot log in with one</span>` : 'set') },
	];
	const add = async (v) => {
		await put(`users/${path(v.name)}`, { password: v.password, tags: v.tags });
		toast(`User ${v.name} is there. It has no permissions yet.`);
		go(['user', v.name]);
	};
	return html`
		<div class="head"><h1>Users</h1><span class="spacer" /><button class="primary" onClick=${() => setAdding(true)}><${Icon} name="plus" />Add a user</button></div>
		<section class="card"><${Loaded} of=${poll}>${(all) => html`<${Table} label="Users" columns=${columns} rows=${all} id=${(u) => u.name} />`}<//></section>
		${adding && html`<${FormDialog} narrow title="Add a user" submit="Add" onSubmit=${add} onClose=${() => setAdding(false)} fields=${[
			{ name: 'name', label: 'Name', required: true, wide: true, autocomplete: 'off' },
			{ name: 'password', label: 'Password', kind: 'password', required: true, wide: true, autocomplete: 'new-password' },
			{ name: 'tags', label: 'Tags', wide: true, hint: TAGS_HINT },
		]} />`}`;
}
