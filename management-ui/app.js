// Starts the dashboard: session, route to page, the frame around it, keys.
import { beginSession, Card, confirm, Confirm, endSession, Frame, get, go, GO_KEYS, Help, html, lostSince, mayGo, Problem, render, route, Skeleton, TAG_OF, Toasts, useEffect, user, useRoute, useSignal, useState } from './ui.js';
import { Login } from './pages/login.js';

/** Each a file of that name, fetched when first looked at. */
const PAGES = 'overview queues queue exchanges exchange connections connection channels topology policies users user vhosts definitions logs'.split(' ');

const GONE = new Error('The server does not answer. Trying again.');

/** @param {PageProps} props */
function Page({ name, parts }) {
	const [{ Shown, error }, set] = useState(/** @type {any} */ ({}));
	useEffect(() => {
		let here = true;
		// Browsers remember failures by name.
		const load = (again) => import(`./pages/${name}.js${again}`).then((m) => set({ Shown: m.default }), () => {
			set({ error: GONE });
			if (here) setTimeout(load, 2000, `?${Date.now()}`);
		});
		if (!mayGo(name)) set({ error: new Error(`This page is for users with the tag ${TAG_OF[name]}.`) });
		else if (PAGES.includes(name)) load('');
		else set({ error: new Error(`There is no page “${name}”.`) });
		return () => { here = false; };
	}, []);
	if (error) return html`<${Problem} error=${error} /><p><a href="#/overview">To the overview</a></p>`;
	if (!Shown) return html`<${Card}><${Skeleton} lines=${8} /><//>`;
	// The key makes another queue another page: no state or sample of the last one stays.
	return html`<${Shown} key=${parts.join('\n')} parts=${parts} />`;
}

function useKeys(setHelp) {
	useEffect(() => {
		let afterG = 0;
		const press = (e) => {
			if (e.ctrlKey || e.metaKey || e.altKey || document.querySelector('dialog[open]')) return;
			if (e.target.matches('input, select, textarea')) {
				if (e.key === 'Escape') /** @type {HTMLElement} */ (e.target).blur();
				return;
			}
			if (e.key === '/') {
				const search = /** @type {HTMLInputElement | null} */ (document.querySelector('[data-search]'));
				e.preventDefault();
				if (search) search.select();
				else go(['queues']);
			} else if (e.key === '?') setHelp(true);
			else if (e.key === 'g') afterG = Date.now();
			else if (GO_KEYS[e.key] && mayGo(GO_KEYS[e.key]) && Date.now() - afterG < 1500) {
				afterG = 0;
				go([GO_KEYS[e.key]]);
			}
		};
		addEventListener('keydown', press);
		return () => removeEventListener('keydown', press);
	}, []);
}

function App() {
	const { parts } = useRoute();
	const who = useSignal(user);
	const lost = useSignal(lostSince);
	const [help, setHelp] = useState(false);
	useKeys(setHelp);
	const name = parts[0] || 'overview';

	useEffect(() => {
		document.title = `${(parts[2] ?? parts[1] ?? name) || '(default)'} · Leveret`;
		scrollTo(0, 0);
		// Dialogs belong to the page that was left.
		setHelp(false);
		confirm(null);
	}, [parts.join('\n')]);

	// After a reload: is the cookie still good?
	useEffect(() => {
		if (who !== undefined) return undefined;
		let timer = 0;
		const ask = () => get('whoami').then(beginSession, (e) => {
			if (e.status === 401) endSession();
			else timer = setTimeout(ask, 2000);
		});
		ask();
		return () => clearTimeout(timer);
	}, [who]);

	let body;
	if (who === null) body = html`<${Login} />`;
	else if (who === undefined) body = html`<div class="page"><${Card}><${Skeleton} lines=${6} /><//>${!!lost && html`<${Problem} error=${GONE} />`}</div>`;
	else body = html`<${Frame} here=${name} onHelp=${() => setHelp(true)}><${Page} key=${name} name=${name} parts=${parts.slice(1)} /><//>`;
	return html`${body}<${Toasts} /><${Confirm} />${help && html`<${Help} onClose=${() => setHelp(false)} />`}`;
}

if (!route().parts[0]) history.replaceState(null, '', '#/overview');
render(html`<${App} />`, /** @type {HTMLElement} */ (document.getElementById('app')));
