// Numbers with units, times in the local zone.

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });

/** 1,234,567. */
export const count = (n) => (typeof n === 'number' ? whole.format(n) : '–');

/** 1.2 k, 3.4 M: four characters or fewer of digits. */
export function short(n) {
	if (typeof n !== 'number' || !Number.isFinite(n)) return '–';
	const size = Math.abs(n);
	if (size < 10_000) return whole.format(n);
	for (const [limit, unit] of /** @type {[number, string][]} */ ([[1e6, 'k'], [1e9, 'M'], [1e12, 'G'], [Infinity, 'T']])) {
		if (size < limit) {
			const value = n / (limit === Infinity ? 1e12 : limit / 1e3);
			return `${value.toFixed(Math.abs(value) < 100 ? 1 : 0)} ${unit}`;
		}
	}
	return '–';
}

/** Messages a second. */
export function rate(n) {
	if (typeof n !== 'number' || !Number.isFinite(n)) return '–';
	if (n !== 0 && Math.abs(n) < 10) return `${n.toFixed(1)}/s`;
	return `${short(Math.round(n))}/s`;
}

/** With a sign, for what grows or shrinks. */
export const signedRate = (n) => `${n > 0 ? '+' : ''}${rate(n)}`;

export function bytes(n) {
	if (typeof n !== 'number' || !Number.isFinite(n)) return '–';
	let value = n;
	for (const unit of ['B', 'KiB', 'MiB', 'GiB']) {
		if (Math.abs(value) < 1024) return `${unit === 'B' || value >= 100 ? Math.round(value) : value.toFixed(1)} ${unit}`;
		value /= 1024;
	}
	return `${value.toFixed(1)} TiB`;
}

export function duration(ms) {
	if (typeof ms !== 'number' || !Number.isFinite(ms)) return '–';
	if (ms < 1000) return `${ms} ms`;
	const units = /** @type {[number, string][]} */ ([[86_400_000, 'd'], [3_600_000, 'h'], [60_000, 'min'], [1000, 's']]);
	const at = units.findIndex(([size]) => ms >= size);
	const [size, unit] = units[at];
	const first = Math.floor(ms / size);
	const next = units[at + 1];
	const second = next ? Math.floor((ms % size) / next[0]) : 0;
	return second ? `${first} ${unit} ${second} ${next[1]}` : `${first} ${unit}`;
}

/** Local time; the title of the element should be `utc`. */
export function time(ms) {
	if (typeof ms !== 'number') return '–';
	const then = new Date(ms);
	const sameDay = then.toDateString() === new Date().toDateString();
	return then.toLocaleString([], sameDay ? { timeStyle: 'medium' } : { dateStyle: 'medium', timeStyle: 'short' });
}

export const utc = (ms) => (typeof ms === 'number' ? `${new Date(ms).toISOString().replace('T', ' ').slice(0, 19)} UTC` : '');

/** @param {string} key e.g. `publish` for message_stats.publish_details.rate */
export const rateOf = (object, key) => object?.message_stats?.[`${key}_details`]?.rate ?? 0;

/** What the default exchange is called on screen. */
export const exchangeName = (name) => (name === '' ? '(default)' : name);

export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;
