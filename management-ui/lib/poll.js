// Polls where no events come. After a failure the last answer stays, with the error.
import { useState, useEffect, useRef } from './html.js';
import { answered, ApiError, get, queryString, reasonIn } from './api.js';
import { isLive, watch } from './live.js';

/** Slower ones are not worth a place in the stream. */
const LIVE_MS = 10_000;

/** @type {any} */
const NOTHING = { data: undefined, error: null, at: 0 };

/** @type {UsePoll} */
export const usePoll = (where, everyMs, query, onData) => {
	const key = where === null ? null : `${where}?${JSON.stringify(query ?? {})}`;
	const [state, setState] = useState(NOTHING);
	const ask = useRef(() => {});
	const listener = useRef(onData);
	listener.current = onData;

	useEffect(() => {
		if (where === null || key === null) return undefined;
		const abort = new AbortController();
		let timer;
		let asking = false;
		let again = false;
		const next = () => {
			clearTimeout(timer);
			if (everyMs && !document.hidden && !abort.signal.aborted) timer = setTimeout(() => (isLive(path) ? next() : tick()), everyMs);
		};
		const path = where + queryString(query);
		const take = (data) => {
			if (abort.signal.aborted) return;
			listener.current?.(data);
			setState({ data, error: null, at: Date.now(), where });
		};
		const fail = (error) => !abort.signal.aborted && setState((old) => ({ ...(old.where === where ? old : NOTHING), error, where }));
		async function tick() {
			if (asking) {
				again = true;
				return;
			}
			asking = true;
			try {
				take(await get(/** @type {string} */ (where), query, abort.signal));
			} catch (error) {
				fail(error);
			}
			asking = false;
			if (!again) next();
			else if (!abort.signal.aborted) {
				again = false;
				tick();
			}
		}
		ask.current = tick;
		const seen = () => (document.hidden ? clearTimeout(timer) : tick());
		document.addEventListener('visibilitychange', seen);
		tick();
		const unwatch = everyMs && everyMs <= LIVE_MS ? watch(path, (status, body) => {
			if (asking) return;
			answered();
			if (status === 200) take(body);
			else fail(new ApiError(status, reasonIn(body) ?? String(status)));
		}) : () => {};
		return () => {
			unwatch();
			abort.abort();
			clearTimeout(timer);
			document.removeEventListener('visibilitychange', seen);
		};
	}, [key, everyMs]);

	// A new sort or page keeps the old rows until the new ones arrive.
	const seen = state.where === where ? state : NOTHING;
	return { ...seen, refresh: () => ask.current() };
};
