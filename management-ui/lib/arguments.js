// What queue, exchange and policy arguments mean, in words.
import words from './words.json' with { type: 'json' };
import { bytes, count, duration } from './format.js';

/** Type and meaning of each, without the `x-` in front. @type {Record<string, [string, string | Record<string, string>]>} */
const WORDS = /** @type {any} */ (words);
const bare = (key) => key.replace(/^x-/, '');

/** What an argument or a policy's key means. */
export function meaning(key, value) {
	const said = WORDS[bare(key)]?.[1] ?? '';
	const text = typeof said === 'string' ? said : said[String(value)] ?? said[''];
	const as = ({ bytes, count, duration, value: (v) => (v === '' ? 'the default exchange' : String(v)) });
	return text.replace(/\{(\w+)\}/g, (_, how) => as[how](value));
}

/**
 * Reads `key=value` lines as arguments. Numbers, true, false and JSON become what they look like; quotes keep text text.
 * @param {string} text
 * @returns {Record<string, unknown>}
 */
export function parseArguments(text) {
	const out = {};
	for (const line of text.split('\n')) {
		if (!line.trim()) continue;
		const at = line.indexOf('=');
		if (at < 1) throw new Error(`“${line.trim()}” is not key=value.`);
		const key = line.slice(0, at).trim();
		const raw = line.slice(at + 1).trim();
		const kind = WORDS[bare(key)]?.[0];
		if (kind === 'text' && !/^["{[]/.test(raw)) {
			out[key] = raw;
			continue;
		}
		try {
			out[key] = JSON.parse(raw);
		} catch {
			out[key] = raw;
		}
	}
	return out;
}
