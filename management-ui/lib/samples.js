// The recent past of what was looked at, kept in the page: a ring per name, gone on reload unless the server sends its own series.

const SAMPLES_MAX = 360;
const NAMES_MAX = 400;

const rings = new Map();

function ring(name) {
	const found = rings.get(name) ?? { times: [], series: {} };
	// Set again, so that the map's first entry is the one that was not used for longest.
	rings.delete(name);
	rings.set(name, found);
	if (rings.size > NAMES_MAX) rings.delete((rings.keys().next().value));
	return found;
}

/** @param {Record<string, number>} values @param {number} [at] milliseconds */
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

export const history = (name) => rings.get(name) ?? { times: [], series: {} };

/** @param {Sources} sources @returns {Ring} the `samples` that the server sends, as a ring */
export function ringOf(sources) {
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
	const times = [...byTime.keys()].sort((a, b) => a - b);
	const series = Object.fromEntries(Object.keys(sources).map((key) => [key, times.map((at) => byTime.get(at)?.[key] ?? (null))]));
	return { times: times.map((at) => at / 1000), series };
}

/** Puts what the server remembers before what the page itself has seen. @param {Sources} sources */
export function seed(name, sources) {
	const own = history(name);
	const past = ringOf(sources);
	const older = past.times.filter((at) => at < (own.times[0] ?? Infinity) - 1).length;
	if (!older) return;
	rings.delete(name);
	const put = (from, count) => from.times.slice(0, count)
		.forEach((at, i) => record(name, Object.fromEntries(Object.entries(from.series).map(([key, list]) => [key, list[i]])), at * 1000));
	put(past, older);
	put(own, own.times.length);
}

/** What to ask for to get samples. @param {number} age seconds */
export const samplesQuery = (age, every) => ({ lengths_age: age, lengths_incr: every, msg_rates_age: age, msg_rates_incr: every });
