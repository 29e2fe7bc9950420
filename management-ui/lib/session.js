// Who is logged in. Scripts cannot read the session's cookie.
import { pref, setPref } from './prefs.js';
import { signal } from './signal.js';

const KEY = 'session';

/** Undefined until the server was asked; null when there is none. */
export const user = signal(/** @type {User | null | undefined} */ (pref(KEY, false) ? undefined : null));
/** Why the session ended, for the login form. */
export const endedBecause = signal('');

/** What the server says of the user who is logged in. */
export function beginSession(who) {
	setPref(KEY, true);
	endedBecause.set('');
	user.set({ name: who.name, tags: [who.tags].flat().flatMap((t) => t.split(',')) });
}

export function endSession(reason = '') {
	setPref(KEY, false);
	endedBecause.set(reason);
	user.set(null);
}

const hasAny = (u, ...tags) => !!u && u.tags.some((t) => tags.includes(t));
/** The tag that opens a page; the others are open to everybody. @type {Record<string, string>} */
export const TAG_OF = { policies: 'policymaker', users: 'administrator', user: 'administrator', definitions: 'policymaker', logs: 'monitoring' };
export const mayGo = (page) => !TAG_OF[page] || hasAny(user.get(), 'administrator', TAG_OF[page]);
export const isAdministrator = () => hasAny(user.get(), 'administrator');
export const isMonitoring = () => hasAny(user.get(), 'administrator', 'monitoring');
