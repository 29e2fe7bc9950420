// One stream for all that the page watches: an answer comes when it has changed. Without it pages poll.
import { call, lose } from './api.js';

const WATCHED_MAX = 16;
/** The server says something at least every five seconds. */
const SILENT_MS = 12_000;
const RETRY_MS = 10_000;

const watchers = new Map();
let streamed = [];
let heard = 0;
/** @type {AbortController | null} */
let stream = null;
/** @type {any} */
let timer;
/** @type {any} */
let silence;

/** Whether news of this path come by themselves. */
export const isLive = (where) => streamed.includes(where) && Date.now() - heard < SILENT_MS;

async function listen() {
	stream?.abort();
	clearTimeout(silence);
	streamed = [];
	const paths = [...watchers.keys()].slice(0, WATCHED_MAX);
	if (!paths.length || document.hidden) return;
	const mine = new AbortController();
	stream = mine;
	try {
		await call('GET', `events?${paths.map((p) => `watch=${encodeURIComponent(p)}`).join('&')}`, {
			signal: mine.signal,
			onEvent(news) {
				streamed = paths;
				heard = Date.now();
				clearTimeout(silence);
				silence = setTimeout(lose, SILENT_MS);
				if (news) watchers.get(paths[news.watch])?.forEach((tell) => tell(news.status, news.body));
			},
		});
	} catch {
		// The page polls meanwhile, and says what is wrong.
	}
	if (stream !== mine) return;
	streamed = [];
	clearTimeout(silence);
	later(RETRY_MS);
}

function later(ms) {
	clearTimeout(timer);
	timer = setTimeout(listen, ms);
}

document.addEventListener('visibilitychange', () => later(0));

/** Tells news of a path until the returned function is called. @param {Watcher} tell */
export function watch(where, tell) {
	const known = watchers.get(where) ?? new Set();
	watchers.set(where, known.add(tell));
	if (known.size === 1) later(50);
	return () => {
		known.delete(tell);
		if (known.size) return;
		watchers.delete(where);
		later(50);
	};
}
