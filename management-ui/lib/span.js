// How far back charts look: ten minutes as the page sees them, or up to a day as the server remembers it.
import { useState } from './html.js';
import { usePoll } from './poll.js';
import { pref, setPref } from './prefs.js';
import { history, ringOf, samplesQuery } from './samples.js';

/** Seconds, name, seconds between two samples. @type {[number, string, number][]} */
export const SPANS = [[600, '10 min', 5], [3600, '1 h', 60], [28_800, '8 h', 120], [86_400, '24 h', 300]];

/**
 * @param {string} where what is asked for samples @param {string} name of the live ring @param {(data: any) => Sources} sources
 * @returns {{span: number, choose: (s: number) => void, ring: Ring, at: number}}
 */
export function useSpan(where, name, sources) {
	const [span, setSpan] = useState(pref('span', SPANS[0][0]));
	const choose = (seconds) => {
		setPref('span', seconds);
		setSpan(seconds);
	};
	const every = SPANS.find(([seconds]) => seconds === span)?.[2] ?? 60;
	const past = usePoll(span > SPANS[0][0] ? where : null, samplesQuery(span, every), 60_000);
	const far = span > SPANS[0][0];
	return { span, choose, ring: far ? ringOf(past.data ? sources(past.data) : {}) : history(name), at: far ? past.at : 0 };
}
