// The recent past of what was looked at, kept in the page: a ring per name, gone on reload unless the server sends its own series.

const SAMPLES_MAX = 360;
const NAMES_MAX = 400;

/** @typedef {{times: number[], series: Record<string, number[]>}} Ring times in seconds */

/** @type {Map<string, Ring>} */
const rings = new Map();

/** @param {string} name @returns {Ring} */
function ring(name) {
  const found = rings.get(name) ?? { times: [], series: {} };
  // Set again, so that the map's first entry is the one that was not used for longest.
  rings.delete(name);
  rings.set(name, found);
  if (rings.size > NAMES_MAX) rings.delete(/** @type {string} */ (rings.keys().next().value));
  return found;
}

/** @param {string} name @param {Record<string, number>} values @param {number} [at] milliseconds */
export function record(name, values, at = Date.now()) {
  const { times, series } = ring(name);
  const seconds = at / 1000;
  const last = times[times.length - 1];
  if (last !== undefined && seconds - last < 0.9) {
    for (const [key, value] of Object.entries(values)) if (series[key]) series[key][times.length - 1] = value;
    return;
  }
  times.push(seconds);
  for (const [key, value] of Object.entries(values)) (series[key] ??= new Array(times.length - 1).fill(null)).push(value);
  for (const list of Object.values(series)) while (list.length < times.length) list.push(/** @type {any} */ (null));
  if (times.length > SAMPLES_MAX) {
    times.shift();
    for (const list of Object.values(series)) list.shift();
  }
}

/** @param {string} name @returns {Ring} */
export const history = (name) => rings.get(name) ?? { times: [], series: {} };

/**
 * Puts before what the page itself has seen the `samples` that the server sends when asked with `lengths_age` and `msg_rates_age`.
 * @param {string} name
 * @param {Record<string, {details: any, counter?: boolean}>} sources counter: samples are totals, to be made into rates
 */
export function seed(name, sources) {
  const own = history(name);
  /** @type {Map<number, Record<string, number>>} */
  const byTime = new Map();
  for (const [key, { details, counter }] of Object.entries(sources)) {
    const samples = [...(details?.samples ?? [])].sort((a, b) => a.timestamp - b.timestamp);
    samples.forEach((now, i) => {
      const before = samples[i - 1];
      if (counter && !before) return;
      const value = counter ? ((now.sample - before.sample) * 1000) / (now.timestamp - before.timestamp) : now.sample;
      byTime.set(now.timestamp, { ...byTime.get(now.timestamp), [key]: Math.max(0, value) });
    });
  }
  const earliest = (own.times[0] ?? Infinity) * 1000;
  const older = [...byTime.keys()].filter((at) => at < earliest).sort((a, b) => a - b);
  if (!older.length) return;
  rings.delete(name);
  for (const at of older) record(name, byTime.get(at) ?? {}, at);
  own.times.forEach((seconds, i) => record(name, Object.fromEntries(Object.entries(own.series).map(([key, list]) => [key, list[i]])), seconds * 1000));
}

/** What to ask for so that `seed` finds something. */
export const SERIES_QUERY = { lengths_age: 600, lengths_incr: 5, msg_rates_age: 600, msg_rates_incr: 5 };
