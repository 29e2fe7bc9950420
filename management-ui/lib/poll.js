// Asks once, and again every few seconds where news do not come by themselves. On a failure the last answer stays, with the
// error beside it.
import { useState, useEffect, useRef } from './html.js';
import { ApiError, get, queryString, answered } from './api.js';
import { isLive, watch } from './live.js';

/** Slower ones are not worth a place in the stream. */
const LIVE_MS = 10_000;

/**
 * @param {string | null} where null asks nothing
 * @param {Record<string, unknown>} [query]
 * @param {number} [everyMs] 0 asks once
 * @param {(data: any) => void} [onData] called for every answer, before the page draws
 * @returns {Poll}
 */
export function usePoll(where, query, everyMs = 5000, onData) {
	const key = where === null ? null : `${where}?${JSON.stringify(query ?? {})}`;
	const [state, setState] = useState({ data: /** @type {any} */ (undefined), error: /** @type {any} */ (null), at: 0, where: /** @type {string|null} */ (null) });
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
			listener.current?.(data);
			setState({ data, error: null, at: Date.now(), where });
		};
		const fail = (error) => setState((old) => ({ ...(old.where === where ? old : { data: undefined, at: 0 }), error, where }));
		async function tick() {
			if (asking) {
				again = true;
				return;
			}
			asking = true;
			try {
				const data = await get(/** @type {string} */ (where), query, abort.signal);
				if (abort.signal.aborted) return;
				take(data);
			} catch (error) {
				if (abort.signal.aborted) return;
				fail(error);
			} finally {
				asking = false;
			}
			if (again) {
				again = false;
				tick();
			} else next();
		}
		ask.current = tick;
		const seen = () => (document.hidden ? clearTimeout(timer) : tick());
		document.addEventListener('visibilitychange', seen);
		tick();
		const unwatch = everyMs && everyMs <= LIVE_MS ? watch(path, (status, body) => {
			if (asking) return;
			answered();
			if (status === 200) take(body);
			else fail(new ApiError(status, body?.reason ?? String(status)));
		}) : () => {};
		return () => {
			unwatch();
			abort.abort();
			clearTimeout(timer);
			document.removeEventListener('visibilitychange', seen);
		};
	}, [key, everyMs]);

	// Another sort or page of the same list keeps the old rows until the new ones are there; another thing does not.
	const mine = state.where === where;
	const data = mine ? state.data : undefined;
	const error = mine ? state.error : null;
	return { data, error, at: state.at, loading: data === undefined && !error && where !== null, refresh: () => ask.current() };
}
