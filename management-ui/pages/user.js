import { acts, Asks, Card, del, Form, go, Head, html, limitFields, Missing, named, Note, path, plural, put, Rows, setLimits, Tags, toast, usePoll, useVhostField } from '../ui.js';
import { TAGS_HINT, tagList } from './users.js';

/** A table of patterns, and a form that adds to it. @param {RightsProps} props */
function Rights({ title, note, of, where, name, none, act, fields, said, take }) {
	const save = async ({ vhost, ...v }) => {
		await put(`${where}/${path(vhost, name)}`, v);
		toast(said({ vhost, ...v }));
		of.refresh();
	};
	const remove = (p) => {
		const [does, what, says, done] = take(p);
		return html`<${Asks} small act=${does.split(' the ')[0]} name="${does} ${what}" title="${does} ${what}?" says=${says} done=${done} after=${of.refresh}
			run=${() => del(`${where}/${path(p.vhost, name, ...(p.exchange ? [p.exchange] : []))}`)} />`;
	};
	const columns = [
		named('Virtual host', undefined, 'vhost'),
		...fields.map(({ name: key, label }) => ({ key, label, draw: (p) => (p[key] === '' ? html`<span class="muted">nothing</span>` : html`<code>${p[key]}</code>`) })),
		acts(remove),
	];
	return html`<${Card} title=${title} note=${note}>
		<${Rows} of=${of} label=${title} columns=${columns} id=${(p) => `${p.vhost}\n${p.exchange}`} none=${html`<${Note}>${none}<//>`} />
		<div class="body"><${Form} keep submit=${act} onSubmit=${save} fields=${[{ ...useVhostField(), wide: false }, ...fields.map((f) => ({ value: '.*', mono: true, ...f }))]}><h3>${act} or change</h3><//></div><//>`;
}

export default function User({ parts: [name] }) {
	const at = `users/${path(name)}`;
	const poll = usePoll(at, 0);
	const permissions = usePoll(`${at}/permissions`, 15_000);
	const topics = usePoll(`${at}/topic-permissions`, 0);
	const limits = usePoll(`user-limits/${path(name)}`, 0);
	const own = limits.data?.[0]?.value;
	if (!poll.data) {
		return html`<${Missing} title=${name} error=${poll.error} gone=${`There is no user ${name}.`} all="users" />`;
	}
	const save = async (v) => {
		// A PUT without either takes the password away.
		await put(at, v.password ? { tags: v.tags, password: v.password } : { tags: v.tags, password_hash: poll.data.password_hash, hashing_algorithm: poll.data.hashing_algorithm });
		toast(`User ${name} updated.`);
		poll.refresh();
	};
	return html`
		<${Head} title=${name} actions=${html`<${Asks} act="Delete" title="Delete the user ${name}?" type=${name} run=${() => del(at)} done="User ${name} is deleted." after=${() => go(['users'])}
			says="Deletes ${name} and ${plural(permissions.data?.length ?? 0, 'permission')}. This cannot be undone." />`}><${Tags} of=${tagList(poll.data.tags)} /><//>
		<${Rights} title="Permissions" note="regular expressions of names, per virtual host" of=${permissions} where="permissions" name=${name} none="${name} has no access to any virtual host yet. Grant some below." act="Grant"
			fields=${[{ name: 'configure', label: 'Configure', hint: 'Declare and delete.' }, { name: 'write', label: 'Write', hint: 'Publish, bind to.' }, { name: 'read', label: 'Read', hint: 'Consume, get, bind from.' }]}
			said=${(v) => `${name} may use ${v.vhost}.`} take=${(p) => ['Revoke', p.vhost, `${name} can no longer open connections to the virtual host ${p.vhost}.`, `${name} may no longer use ${p.vhost}.`]} />
		<${Rights} title="Topic permissions" note="which routing keys, on top of the permissions above" of=${topics} where="topic-permissions" name=${name} none="None: all routing keys." act="Restrict"
			fields=${[{ name: 'exchange', label: 'Topic exchange', value: 'amq.topic', required: true }, { name: 'write', label: 'Publish with', hint: 'Keys; {username} stands for the name.' }, { name: 'read', label: 'Bind with' }]}
			said=${(v) => `Routing keys of ${name} on ${v.exchange} are restricted.`} take=${(p) => ['Lift the restriction on', p.exchange, `${name} may use all routing keys of ${p.exchange} in ${p.vhost}.`, `${name} may use all routing keys of ${p.exchange}.`]} />
		<div class="two"><${Card} title="Limits"><div class="body"><${Form} key=${JSON.stringify(limits.data ?? null)} keep submit="Set limits" onSubmit=${(v) => setLimits('user-limits', name, own, v).then(limits.refresh)} fields=${limitFields(['max-connections', 'max-channels'], own)} /></div><//>
		<${Card} title="Tags and password"><div class="body"><${Form} keep submit="Save" onSubmit=${save} fields=${[
			{ name: 'tags', label: 'Tags', value: tagList(poll.data.tags).join(','), hint: TAGS_HINT },
			{ name: 'password', label: 'New password', kind: 'password', autocomplete: 'new-password', hint: 'Empty: it stays as it is.' },
		]} /></div><//></div>`;
}
