// Starts the dashboard: session, route to page, the frame around it, keys.
import { beginSession, Confirm, endSession, Frame, get, go, Help, html, lostSince, Problem, render, route, Skeleton, Toasts, useEffect, user, useRoute, useSignal, useState } from './ui.js';
import { Login } from './pages/login.js';

/** Pages are fetched when first looked at. @type {Record<string, () => Promise<{default: any}>>} */
const PAGES = {
	overview: () => import('./pages/overview.js'),
	queues: () => import('./pages/queues.js'),
	queue: () => import('./pages/queue.js'),
	exchanges: () => import('./pages/exchanges.js'),
	exchange: () => import('./pages/exchange.js'),
	connections: () => import('./pages/connections.js'),
	connection: () => import('./pages/connection.js'),
	channels: () => import('./pages/channels.js'),
	topology: () => import('./pages/topology.js'),
	policies: () => import('./pages/policies.js'),
	users: () => import('./pages/users.js'),
	user: () => import('./pages/user.js'),
	vhosts: () => import('./pages/vhosts.js'),
	definitions: () => import('./pages/definitions.js'),
	logs: () => import('./pages/logs.js'),
};

/** Where `g` and a second key lead. @type {Record<string, string>} */
const GO_KEYS = { o: 'overview', q: 'queues', e: 'exchanges', c: 'connections', h: 'channels', t: 'topology', p: 'policies', u: 'users', v: 'vhosts', d: 'definitions', l: 'logs' };

/** @param {PageProps} props */
function Page({ name, parts }) {
	const [loaded, setLoaded] = useState(/** @type {{name: string, Page?: any, error?: any}} */ ({ name: '' }));
	useEffect(() => {
		let here = true;
		const load = PAGES[name];
		if (!load) {
			setLoaded({ name, error: new Error(`There is no page “${name}”.`) });
			return undefined;
		}
		load().then((m) => here && setLoaded({ name, Page: m.default }), (error) => here && setLoaded({ name, error }));
		return () => { here = false; };
	}, [name]);
	if (loaded.name !== name) return html`<div class="card"><${Skeleton} lines=${8} /></div>`;
	if (loaded.error) return html`<${Problem} error=${loaded.error} /><p><a href="#/overview">To the overview</a></p>`;
	// The key makes another queue another page: no state or sample of the last one stays.
	return html`<${loaded.Page} key=${parts.join('\n')} parts=${parts} />`;
}

const typing = (e) => e.target instanceof HTMLElement && (e.target.isContentEditable || /^(input|select|textarea)$/i.test(e.target.tagName));

function useKeys(setHelp) {
	useEffect(() => {
		let afterG = 0;
		const press = (e) => {
			if (e.ctrlKey || e.metaKey || e.altKey || document.querySelector('dialog[open]')) return;
			if (typing(e)) {
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
			else if (GO_KEYS[e.key] && Date.now() - afterG < 1500) {
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
		document.title = `${[parts[2] ?? parts[1] ?? name].map((t) => t || '(default)').join('')} · Leveret`;
		scrollTo(0, 0);
	}, [parts.join('\n')]);

	// After a reload the server says whether the cookie still holds.
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
	else if (who === undefined) body = html`<div class="page"><div class="card"><${Skeleton} lines=${6} /></div>${lost ? html`<${Problem} error=${new Error('The server does not answer. Trying again.')} />` : null}</div>`;
	else body = html`<${Frame} here=${name} onHelp=${() => setHelp(true)}><${Page} name=${name} parts=${parts.slice(1)} /><//>`;
	return html`${body}<${Toasts} /><${Confirm} />${help && html`<${Help} onClose=${() => setHelp(false)} />`}`;
}

if (!route().parts[0]) history.replaceState(null, '', '#/overview');
render(html`<${App} />`, /** @type {HTMLElement} */ (document.getElementById('app')));
