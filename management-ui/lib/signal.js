// A value that components can watch. For the few things the whole page shares: session, route, server lost, toasts.
import { useState, useEffect } from './html.js';

/** @template T @param {T} initial */
export function signal(initial) {
  let value = initial;
  /** @type {Set<(v: T) => void>} */
  const watchers = new Set();
  return {
    get: () => value,
    /** @param {T} next */
    set(next) {
      if (Object.is(next, value)) return;
      value = next;
      for (const watch of [...watchers]) watch(next);
    },
    /** @param {(v: T) => void} watch */
    watch(watch) {
      watchers.add(watch);
      return () => { watchers.delete(watch); };
    },
  };
}

/** @template T @param {{get: () => T, watch: (w: (v: T) => void) => () => void}} source @returns {T} */
export function useSignal(source) {
  const [value, set] = useState(source.get());
  useEffect(() => {
    set(source.get());
    return source.watch(set);
  }, [source]);
  return value;
}
