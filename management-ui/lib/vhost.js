// The virtual host that lists are narrowed to; '' is all of them. Lasts as long as the tab.
import { signal, useSignal } from './signal.js';
import { path } from './api.js';

const KEY = 'leveret.vhost';
export const vhost = signal(sessionStorage.getItem(KEY) ?? '');

export function chooseVhost(name) {
	sessionStorage.setItem(KEY, name);
	vhost.set(name);
}

/** `queues` or `queues/%2F`. */
export const within = (what, name) => (name ? `${what}/${path(name)}` : what);
/** Of the chosen virtual host, or of all. */
export const useWithin = (what) => within(what, useSignal(vhost));
/** The same of what the API keeps below `vhosts`. */
export function useOfVhost(what) {
	const chosen = useSignal(vhost);
	return chosen ? `vhosts/${path(chosen)}/${what}` : what;
}
