// What queue, exchange and policy arguments mean, in words.
import words from './words.json' with { type: 'json' };
import { bytes, count, duration } from './format.js';

/** What each means, without the `x-` in front. @type {Record<string, string | Record<string, string>>} */
const WORDS = /** @type {any} */ (words);
/** Those whose value is a text, whatever it looks like. */
const TEXTS = /^(overflow|dead-letter-.*|queue-.*|max-age|alternate-exchange|delayed-type|delayed-retry-type)$/;
const bare = (key) => key.replace(/^x-/, '');

/** A value as `parseArguments` reads it. */
export const written = (value) => (typeof value === 'string' ? value : JSON.stringify(value));

/** What an argument or a policy's key means. */
export function meaning(key, value) {
	const said = WORDS[bare(key)] ?? '';
	const text = typeof said === 'string' ? said : said[String(value)] ?? said[''];
	const as = ({ bytes, count, duration, value: (v) => (v === '' ? 'the default exchange' : String(v)) });
	return text.replace(/\{(\w+)\}/g, (_, how) => as[how](value));
}

/** Reads `key=value` lines. Numbers, true, false and JSON become what they look like; quotes keep text text. @param {string} text */
export function parseArguments(text) {
	const out = {};
	for (const line of text.split('\n')) {
		if (!line.trim()) continue;
		const at = line.indexOf('=');
		if (at < 1) throw new Error(`“${line.trim()}” is not key=value.`);
		const key = line.slice(0, at).trim();
		const raw = line.slice(at + 1).trim();
		try {
			out[key] = TEXTS.test(bare(key)) && !/^["{[]/.test(raw) ? raw : JSON.parse(raw);
		} catch {
			out[key] = raw;
		}
	}
	return out;
}
