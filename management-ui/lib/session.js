// Who is logged in. The API takes HTTP Basic, so the token is the ready-made Authorization header: it is kept in memory and in
// sessionStorage (this tab only, gone when it closes) so that a reload keeps the session. Basic is an encoding, not a secret:
// whoever can read this tab's storage can read the password. It is never put in a URL, a cookie or localStorage.
import { signal } from './signal.js';

const KEY = 'leveret.authorization';

let header = sessionStorage.getItem(KEY);

/** The user once the server has accepted the header; undefined until it was asked; null when there is none. */
export const user = signal(/** @type {User | null | undefined} */ (header ? undefined : null));
/** Why the session ended, for the login form. */
export const endedBecause = signal('');

export const authorization = () => header;
/** With credentials a browser answers 401 with its own password box. @type {RequestCredentials} */
export const CREDENTIALS = 'omit';
/** @returns {Record<string, string>} */
export const headers = () => (header ? { Authorization: header } : {});

export function setCredentials(name, password) {
	const bytes = new TextEncoder().encode(`${name}:${password}`);
	header = `Basic ${btoa(String.fromCharCode(...bytes))}`;
}

export function keepSession() {
	if (header) sessionStorage.setItem(KEY, header);
}

export function endSession(reason = '') {
	header = null;
	sessionStorage.removeItem(KEY);
	endedBecause.set(reason);
	user.set(null);
}

const hasAny = (u, ...tags) => !!u && u.tags.some((t) => tags.includes(t));
export const isAdministrator = () => hasAny(user.get(), 'administrator');
export const isPolicymaker = () => hasAny(user.get(), 'administrator', 'policymaker');
export const isMonitoring = () => hasAny(user.get(), 'administrator', 'monitoring');
