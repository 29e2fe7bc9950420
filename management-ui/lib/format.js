// Numbers with units, times in the local zone.

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });

/** 1,234,567. */
export const count = (n) => (typeof n === 'number' ? whole.format(n) : '–');

/** In the largest unit that leaves at least `from`. @returns {string} */
function scaled(n, step, from, units) {
	if (typeof n !== 'number' || !Number.isFinite(n)) return '–';
	let value = n;
	let unit = 0;
	while (Math.abs(value) >= (unit ? step : from) && unit < units.length - 1) {
		value /= step;
		unit++;
	}
	return `${unit && Math.abs(value) < 100 ? value.toFixed(1) : whole.format(value)} ${units[unit]}`.trim();
}

/** 1.2 k, 3.4 M: four characters or fewer of digits. */
export const short = (n) => scaled(n, 1000, 10_000, ['', 'k', 'M', 'G', 'T']);
export const bytes = (n) => scaled(n, 1024, 1024, ['B', 'KiB', 'MiB', 'GiB', 'TiB']);

/** Messages a second. */
export function rate(n) {
	if (typeof n !== 'number' || !Number.isFinite(n)) return '–';
	if (n !== 0 && Math.abs(n) < 10) return `${n.toFixed(1)}/s`;
	return `${short(Math.round(n))}/s`;
}

/** With a sign, for what grows or shrinks. */
export const signedRate = (n) => `${n > 0 ? '+' : ''}${rate(n)}`;

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
	return then.toLocaleString([], { hourCycle: 'h23', ...(sameDay ? { timeStyle: 'medium' } : { dateStyle: 'medium', timeStyle: 'short' }) });
}

export const utc = (ms) => (typeof ms === 'number' ? `${new Date(ms).toISOString().replace('T', ' ').slice(0, 19)} UTC` : '');

/** What stands at a dotted path, as the server sorts by it. */
export const pick = (object, at) => at.split('.').reduce((o, key) => o?.[key], object);

/** In the order of what stands at a path; equals by name. */
export const inOrder = (rows, at, desc) => [...rows].sort((a, b) => {
	const [x, y] = [a, b].map((row) => pick(row, at) ?? '');
	const order = typeof x === 'number' && typeof y === 'number' ? x - y : String(x).localeCompare(String(y));
	return (desc ? -order : order) || String(a.name).localeCompare(String(b.name));
});

const rateAt = (of) => `message_stats.${of}_details.rate`;

/** Messages a second. @param {string} of e.g. `publish` */
export const rateOf = (object, of) => pick(object, rateAt(of)) ?? 0;

/** A column of what a row has under a name, sorted by it. */
export const plain = (key, label, more) => ({ key, label, sort: key, ...more });
/** A column of numbers. `at`: where a row has it. */
export const number = (key, label, at, show = count, more = {}) => ({ key, label, num: true, sort: at, draw: (row) => show(pick(row, at)), ...more });
/** Messages a second, as a column. */
export const flowing = (key, label, of, more) => number(key, label, rateAt(of), (n) => rate(n ?? 0), more);
/** The column that says which one a row is, and leads there. */
export const named = (label, draw, key = 'name') => plain(key, label, { class: 'name', draw });
export const VHOST = plain('vhost', 'Virtual host', { prio: 3, off: true });

/** The rows of a page, if it is there. */
export const items = (page) => page?.items ?? [];

/** What a connection is called on screen: as its client says, or by its addresses. */
export const connectionTitle = (c) => c.user_provided_name || c.client_properties?.connection_name || c.name;

/** What the default exchange is called on screen. */
export const exchangeName = (name) => (name === '' ? '(default)' : name);

export const yes = (is) => (is ? 'yes' : 'no');

export const capital = (text) => text[0].toUpperCase() + text.slice(1);

export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;
