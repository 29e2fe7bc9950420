// Flow and backlog of a queue or all: ten minutes, or up to a day from the server.
import { useState } from './html.js';
import { pick as at } from './format.js';
import { usePoll } from './poll.js';
import { pref, setPref } from './prefs.js';
import { history, record, ringOf, samplesQuery, seed } from './samples.js';

/** Seconds, name, seconds between two samples. @type {[number, string, number][]} */
export const SPANS = [[600, '10 min', 5], [3600, '1 h', 60], [28_800, '8 h', 120], [86_400, '24 h', 300]];
const LENGTHS = { messages: 'messages', ready: 'messages_ready', unacked: 'messages_unacknowledged' };
const COUNTS = { in: 'publish', out: 'deliver_get', ack: 'ack' };

const each = (of, make) => Object.fromEntries(Object.entries(of).map(([key, name]) => [key, make(name)]));
/** @returns {Sources} */
const sources = (lengths, stats) => ({ ...each(LENGTHS, (k) => ({ details: lengths?.[`${k}_details`] })), ...each(COUNTS, (k) => ({ details: stats?.[`${k}_details`], counter: true })) });

/** Puts the samples that the server sent before what the page has seen itself. */
export const seedFlow = (ring, lengths, stats) => seed(ring, sources(lengths, stats));

export const recordFlow = (ring, lengths, stats) => record(ring, { ...each(LENGTHS, (k) => lengths?.[k] ?? 0), ...each(COUNTS, (k) => stats?.[`${k}_details`]?.rate ?? 0) });

/** The numbers of several as those of one. @returns {[any, any]} */
export function together(all) {
	const sum = (path) => all.reduce((n, one) => n + (at(one, path) ?? 0), 0);
	const [lengths, stats] = /** @type {any[]} */ ([{}, {}]);
	for (const k of Object.values(LENGTHS)) lengths[k] = sum(k);
	for (const k of Object.values(COUNTS)) stats[`${k}_details`] = { rate: sum(`message_stats.${k}_details.rate`) };
	return [lengths, stats];
}

/** Asks, and draws the answer's numbers over time. @param {(data: any) => [any, any]} pick lengths and `message_stats` @param {boolean} [past] whether the server remembers hours of it */
export function useFlow(where, ring, pick, past = true) {
	const [first, setFirst] = useState(true);
	const [span, setSpan] = useState(past ? pref('span', 600) : 600);
	const every = Number(SPANS.find(([seconds]) => seconds === span)?.[2]);
	const poll = usePoll(where, 5000, first ? samplesQuery(600, 5) : undefined, (data) => {
		seedFlow(ring, ...pick(data));
		recordFlow(ring, ...pick(data));
		if (first) setFirst(false);
	});
	const far = span > 600;
	const before = usePoll(far ? where : null, 60_000, samplesQuery(span, every));
	const choose = (seconds) => {
		setPref('span', seconds);
		setSpan(seconds);
	};
	return { poll, flow: { span, choose: past ? choose : undefined, ring: far ? ringOf(before.data ? sources(...pick(before.data)) : {}) : history(ring), at: far ? before.at : poll.at } };
}
