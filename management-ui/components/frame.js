// What surrounds every page.
import { call, capital, chooseVhost, duration, endSession, heardAt, html, isAdministrator, lostSince, mayGo, pref, setPref, time, useEffect, usePoll, user, useSignal, useState, vhost, vhostGone } from '../lib.js';
import { Icon } from './icon.js';
import { toast } from './toast.js';

/** @type {[string, string?][][]} */
const GROUPS = [
	[['overview'], ['queues'], ['exchanges'], ['topology']],
	[['connections'], ['channels']],
	[['policies'], ['users'], ['vhosts', 'Virtual hosts'], ['definitions'], ['logs', 'Log']],
];
/** Pages that belong to another's entry. @type {Record<string, string>} */
const PARENTS = { queue: 'queues', exchange: 'exchanges', connection: 'connections', user: 'users' };

function VhostChoice() {
	const chosen = useSignal(vhost);
	const gone = useSignal(vhostGone);
	const { data, refresh } = usePoll('vhosts', 60_000);
	const names = (data ?? []).map((v) => v.name);
	const unknown = data && chosen && !names.includes(chosen);
	// Just made, or deleted, which would empty every list.
	useEffect(() => {
		if (unknown || gone) refresh();
	}, [chosen, gone]);
	useEffect(() => {
		if (!unknown) return;
		toast(`The virtual host ${chosen} no longer exists.`);
		chooseVhost('');
	}, [data]);
	if (names.length < 2 && !chosen) return null;
	return html`<select aria-label="Virtual host" value=${chosen} onChange=${(e) => chooseVhost(e.currentTarget.value)}>
		<option value="">All virtual hosts</option>${names.map((n) => html`<option value=${n} selected=${n === chosen}>${n}</option>`)}
	</select>`;
}

/** How old the figures are. */
function Age() {
	const [, tick] = useState(0);
	useEffect(() => {
		const timer = setInterval(() => tick(Date.now()), 1000);
		return () => clearInterval(timer);
	}, []);
	return html`<span class="muted age">updated ${duration(Math.max(1000, Date.now() - heardAt))} ago</span>`;
}

/** @param {FrameProps} props */
export function Frame({ here, onHelp, children }) {
	const [folded, setFolded] = useState(pref('nav.folded', false));
	const [open, setOpen] = useState(false);
	const who = useSignal(user);
	const lost = useSignal(lostSince);
	useEffect(() => setOpen(false), [here]);
	const fold = () => {
		setPref('nav.folded', !folded);
		setFolded(!folded);
	};
	const current = PARENTS[here] ?? here;
	const groups = GROUPS.map((g) => g.filter(([name]) => mayGo(name)));
	return html`
		<div class="frame ${folded ? 'folded' : ''} ${open ? 'open' : ''}">
			<a class="skip" href="#main" onClick=${(e) => { e.preventDefault(); document.getElementById('main')?.focus(); }}>Skip to content</a>
			<nav class="nav" aria-label="Main" onKeyDown=${(e) => e.key === 'Escape' && setOpen(false)}>
				<a class="brand" href="#/overview" aria-label="Leveret, overview"><img src="favicon.svg" alt="" /><span class="label">Leveret</span></a>
				${groups.map((group, i) => html`${i > 0 && html`<hr />`}${group.map(([name, label = capital(name)]) => html`
					<a key=${name} class="item" href="#/${name}" aria-current=${name === current ? 'page' : undefined} title=${folded ? label : undefined} onClick=${() => setOpen(false)}><${Icon} name=${name} /><span class=${folded ? 'label sr' : 'label'}>${label}</span></a>`)}`)}
				<span class="spacer" />
				<button class="item fold" onClick=${fold} aria-label=${folded ? 'Expand navigation' : 'Collapse navigation'}><${Icon} name=${folded ? 'unfold' : 'fold'} /><span class="label">Collapse</span></button>
			</nav>
			<button class="scrim" aria-label="Close navigation" tabindex="-1" onClick=${() => setOpen(false)} />
			<div class="main">
				<div class="top">
					<button class="icon menu" aria-label="Open navigation" aria-expanded=${String(open)} onClick=${() => setOpen(true)}><${Icon} name="menu" /></button>
					<${VhostChoice} /><span class="spacer" /><${Age} />
					<button class="icon help" aria-label="Help and keys" title="Help (?)" onClick=${onHelp}><${Icon} name="help" /></button>
					<span class="muted who">${who?.name}</span>
					<button class="icon" aria-label="Log out" title="Log out" onClick=${() => call('POST', 'logout').finally(() => endSession())}><${Icon} name="logout" /></button>
				</div>
				${lost ? html`<div class="banner" role="alert"><${Icon} name="bad" />The broker does not answer; figures are from ${time(lost)}. Trying again.</div>` : null}
				<main class="page" id="main" tabindex="-1">${children}</main>
			</div>
		</div>`;
}

export const useDrift = () => usePoll(isAdministrator() ? 'topology/drift' : null, 15_000).data?.steps ?? [];
export const Drift = () => useDrift().map((s) => html`<p class="warn">Not as ${s.place} says: ${s.kind} ${s.name}</p>`);
