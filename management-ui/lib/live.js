// One stream of events for everything that the page watches: the server sends an answer when it has changed. Where there is no
// stream, or too much to watch, pages poll.

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

/** Whether news of this path come by themselves. @param {string} where with its query */
export const isLive = (where) => streamed.includes(where) && Date.now() - heard < SILENT_MS;

async function listen() {
	stream?.abort();
	streamed = [];
	const paths = [...watchers.keys()].slice(0, WATCHED_MAX);
	if (!paths.length || document.hidden) return;
	const mine = new AbortController();
	stream = mine;
	try {
		const answer = await fetch(`api/events?${paths.map((p) => `watch=${encodeURIComponent(p)}`).join('&')}`, { signal: mine.signal, cache: 'no-store' });
		if (!answer.ok || !answer.body) throw new Error(String(answer.status));
		streamed = paths;
		heard = Date.now();
		const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
		let rest = '';
		for (;;) {
			const { value, done } = await reader.read();
			if (done) break;
			heard = Date.now();
			const parts = (rest + value).split('\n\n');
			rest = parts.pop() ?? '';
			for (const part of parts.filter((p) => p.startsWith('data: '))) {
				const news = JSON.parse(part.slice(6));
				watchers.get(paths[news.watch])?.forEach((tell) => tell(news.status, news.body));
			}
		}
	} catch {
		// The page polls meanwhile, and says what is wrong.
	}
	if (stream !== mine) return;
	streamed = [];
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
