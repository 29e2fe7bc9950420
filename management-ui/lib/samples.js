// The recent past of what was looked at: by name a ring of samples, each an object with its time in seconds.

const SAMPLES_MAX = 360;
const NAMES_MAX = 400;

const rings = new Map();

/** @returns {Ring} */
export const history = (name) => rings.get(name) ?? [];

function keep(name, ring) {
	// Set again: the map's first entry is the least recently used.
	rings.delete(name);
	rings.set(name, ring.slice(-SAMPLES_MAX));
	if (rings.size > NAMES_MAX) rings.delete(rings.keys().next().value);
}

/** @param {Record<string, number>} values */
export function record(name, values) {
	const at = Date.now() / 1000;
	keep(name, [...history(name).filter((s) => at - s.at >= 0.9), { at, ...values }]);
}

/** The `samples` that the server sends. @param {Sources} sources @returns {Ring} */
export function ringOf(sources) {
	const byTime = new Map();
	for (const [key, { details, counter }] of Object.entries(sources)) {
		const samples = [...(details?.samples ?? [])].reverse();
		samples.forEach((now, i) => {
			const before = samples[i - 1];
			if (counter && !before) return;
			const value = counter ? ((now.sample - before.sample) * 1000) / (now.timestamp - before.timestamp) : now.sample;
			byTime.set(now.timestamp, { at: now.timestamp / 1000, ...byTime.get(now.timestamp), [key]: Math.max(0, value) });
		});
	}
	return [...byTime.values()].sort((a, b) => a.at - b.at);
}

/** Puts what the server remembers before what the page has seen itself. @param {Sources} sources */
export function seed(name, sources) {
	const own = history(name);
	keep(name, [...ringOf(sources).filter((s) => s.at < (own[0]?.at ?? Infinity) - 1), ...own]);
}

/** What to ask for to get samples. @param {number} age seconds */
export const samplesQuery = (age, every) => ({ lengths_age: age, lengths_incr: every, msg_rates_age: age, msg_rates_incr: every });
