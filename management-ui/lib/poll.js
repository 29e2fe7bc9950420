// Asks again every few seconds while the page is visible. On a failure the last answer stays, with the error beside it.
import { useState, useEffect, useRef } from './html.js';
import { get } from './api.js';

/** @typedef {{data: any, error: any, at: number, loading: boolean, refresh: () => void}} Poll */

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
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    let asking = false;
    let again = false;
    const next = () => {
      clearTimeout(timer);
      if (everyMs && !document.hidden && !abort.signal.aborted) timer = setTimeout(tick, everyMs);
    };
    async function tick() {
      if (asking) {
        again = true;
        return;
      }
      asking = true;
      try {
        const data = await get(/** @type {string} */ (where), query, abort.signal);
        if (abort.signal.aborted) return;
        listener.current?.(data);
        setState({ data, error: null, at: Date.now(), where });
      } catch (error) {
        if (abort.signal.aborted) return;
        setState((old) => ({ ...(old.where === where ? old : { data: undefined, at: 0 }), error, where }));
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
    return () => {
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
