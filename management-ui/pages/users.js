import { Card, FormDialog, go, Head, html, link, NAME, named, Opens, path, put, Rows, Tags, toast, usePoll } from '../ui.js';

export const TAGS_HINT = 'Comma-separated: management, policymaker, monitoring, administrator, impersonator. None: AMQP only.';
export const tagList = (tags) => [tags].flat().flatMap((t) => String(t ?? '').split(',')).map((t) => t.trim()).filter(Boolean);

const FIELDS = [
	NAME,
	{ name: 'password', label: 'Password', kind: 'password', required: true, autocomplete: 'new-password' },
	{ name: 'tags', label: 'Tags', hint: TAGS_HINT },
];

export default function Users() {
	const poll = usePoll('users', 15_000);
	const permissions = usePoll('permissions', 15_000);
	const vhostsOf = (name) => (permissions.data ?? []).filter((p) => p.user === name).map((p) => p.vhost);
	const columns = [
		named('User', (u) => html`<a href=${link(['user', u.name])}>${u.name}</a>`),
		{ key: 'tags', label: 'Tags', draw: (u) => html`<${Tags} of=${tagList(u.tags)} />` },
		{ key: 'vhosts', label: 'Virtual hosts', draw: (u) => vhostsOf(u.name).join(', ') || html`<span class="muted">none</span>` },
		{ key: 'password', label: 'Password', prio: 2, draw: (u) => (u.password_hash === '' ? html`<span class="muted">none: cannot log in with one</span>` : 'set') },
	];
	const add = async (v) => {
		if (poll.data.some((u) => u.name === v.name)) throw new Error(`There is a user ${v.name} already.`);
		await put(`users/${path(v.name)}`, { password: v.password, tags: v.tags });
		toast(`User ${v.name} added.`);
		go(['user', v.name]);
	};
	return html`
		<${Head} title="Users" actions=${html`<${Opens} class="primary" plus label="Add a user" of=${(close) => html`<${FormDialog} narrow title="Add a user" submit="Add" onSubmit=${add} onClose=${close} fields=${FIELDS} />`} />`} />
		<${Card}><${Rows} of=${poll} label="Users" columns=${columns} id=${(u) => u.name} /><//>`;
}
