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
export const isAdministrator = () => hasAny(user.get(), 'administrator');
export const isPolicymaker = () => hasAny(user.get(), 'administrator', 'policymaker');
export const isMonitoring = () => hasAny(user.get(), 'administrator', 'monitoring');
