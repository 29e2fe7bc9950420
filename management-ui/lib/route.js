// Routes live in the hash, `#/queue/%2F/orders`, and need nothing from the server.
import { signal, useSignal } from './signal.js';

function parse() {
	const raw = location.hash.replace(/^#\/?/, '');
	const [where, query = ''] = raw.split('?', 2);
	const parts = where.split('/').map((part) => {
		try {
			return decodeURIComponent(part);
		} catch {
			return part;
		}
	});
	return { parts, query: Object.fromEntries(new URLSearchParams(query)) };
}

const current = signal(parse());
addEventListener('hashchange', () => current.set(parse()));

export const useRoute = () => useSignal(current);
export const route = () => current.get();

export function link(parts, query) {
	const pairs = Object.entries(query ?? {}).filter(([, v]) => v !== undefined && v !== '' && v !== false);
	const text = new URLSearchParams(pairs.map(([k, v]) => [k, String(v)])).toString();
	return `#/${parts.map((p) => encodeURIComponent(String(p))).join('/')}${text ? `?${text}` : ''}`;
}

export function go(parts, query) {
	location.hash = link(parts, query);
}

/** Changes the query of this page, from its first rows. No new entry in the history. */
export function amend(change) {
	const { parts, query } = parse();
	// A page that was just left has no say.
	if (parts.join() !== current.get().parts.join()) return;
	history.replaceState(null, '', link(parts, { ...query, page: undefined, ...change }));
	current.set(parse());
}

/** Where `g` and a second key lead. @type {Record<string, string>} */
export const GO_KEYS = { o: 'overview', q: 'queues', e: 'exchanges', c: 'connections', h: 'channels', t: 'topology', p: 'policies', u: 'users', v: 'vhosts', d: 'definitions', l: 'logs' };
