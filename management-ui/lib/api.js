// Calls to the management HTTP API. Everything the page does goes through here.
import { endSession } from './session.js';
import { signal } from './signal.js';

/** How long an answer is waited for. */
const PATIENCE_MS = 30_000;

/** Milliseconds since 1970 when the server was last heard. */
export let heardAt = Date.now();
/** The same while it does not answer; 0 while it does. */
export const lostSince = signal(0);

/** Set anew whenever something was asked of a virtual host that is not there. */
export const vhostGone = signal(/** @type {any} */ (null));

export class ApiError extends Error {
	/** @param {number} status 0 when there was no answer @param {string} reason in the server's words */
	constructor(status, reason) {
		super(reason);
		this.status = status;
	}
}

/** A path from parts; each is percent-encoded. @param {...(string | number)} parts */
export const path = (...parts) => parts.map((p) => encodeURIComponent(String(p))).join('/');

/** The server was heard. */
export function answered() {
	heardAt = Date.now();
	lostSince.set(0);
}

/** The server does not answer. */
export const lose = () => lostSince.set(heardAt);

/** @param {Record<string, unknown> | undefined} query */
export function queryString(query) {
	const pairs = new URLSearchParams();
	for (const [key, value] of Object.entries(query ?? {})) {
		if (value !== undefined && value !== null && value !== '') pairs.set(key, String(value));
	}
	const text = pairs.toString();
	return text ? `?${text}` : '';
}

/** What a refusal says. */
export function reasonIn(body) {
	const reason = body?.missing ?? body?.reason ?? body?.error;
	if (reason === 'vhost_not_found') vhostGone.set({});
	return reason && String(reason).replace(/^(\w+)_not_found$/, 'There is no such $1.');
}

async function reasonOf(answer) {
	const text = await answer.text();
	try {
		const reason = reasonIn(JSON.parse(text));
		if (reason) return reason;
	} catch {
		// not JSON: a proxy's page, or nothing
	}
	return text && text.length < 300 && !text.startsWith('<') ? text : `${answer.status} ${answer.statusText}`.trim();
}

/** Server-sent events until they end: the JSON of each, and nothing for a mere sign of life. */
async function listen(body, onEvent) {
	const reader = body.pipeThrough(new TextDecoderStream()).getReader();
	let rest = '';
	for (;;) {
		const { value, done } = await reader.read();
		if (done) return;
		answered();
		const parts = (rest + value).split('\n\n');
		rest = parts.pop() ?? '';
		for (const part of parts) {
			const data = part.split('\n').find((line) => line.startsWith('data:'));
			onEvent(data && JSON.parse(data.slice(5)));
		}
	}
}

/** Below /api/, already encoded. The decoded JSON, or null when there is no body. @type {Call} */
export const call = async (method, where, { query, body, headers, signal: abort, login, onEvent, patience } = {}) => {
	/** @returns {never} */
	const failed = (error) => {
		if (abort?.aborted) throw error;
		lose();
		throw new ApiError(0, 'The server does not answer.');
	};
	const answer = await fetch(`api/${where}${queryString(query)}`, {
		method,
		headers: { Accept: onEvent ? 'text/event-stream' : 'application/json', ...(body === undefined ? {} : { 'Content-Type': 'application/json' }), ...headers },
		body: body === undefined ? undefined : JSON.stringify(body),
		signal: AbortSignal.any([abort, patience && AbortSignal.timeout(patience)].filter((s) => s instanceof AbortSignal)),
		cache: 'no-store',
	}).catch(failed);
	if ([502, 503, 504].includes(answer.status) && !answer.headers.get('content-type')?.includes('json')) failed();
	answered();
	if (!answer.ok) {
		const reason = await reasonOf(answer);
		// RabbitMQ answers 401 for forbidden, too: only a failed login ends the session.
		if (answer.status === 401 && !login && /login failed|session has ended|bad credentials|invalid credentials|not_authenticated/i.test(reason)) {
			endSession('The session has ended. Log in again.');
		}
		throw new ApiError(answer.status, reason);
	}
	if (onEvent) return listen(answer.body, onEvent).catch(failed);
	const text = await answer.text().catch(failed);
	return text ? JSON.parse(text) : null;
};

export const get = (where, query, abort) => call('GET', where, { query, signal: abort, patience: PATIENCE_MS });
export const put = (where, body) => call('PUT', where, { body });
export const post = (where, body) => call('POST', where, { body });
export const del = (where, headers) => call('DELETE', where, { headers });
