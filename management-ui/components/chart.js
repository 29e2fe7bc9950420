// A live line chart; its legend has the current (or pointed at) values.
import { html, rate, short, SPANS, time, useEffect, useRef, useState } from '../lib.js';
import { Segmented } from './card.js';
import uPlot from '../vendor/uplot.js';

const SPAN_MIN_S = 60;
/** By colour, in the order that they are drawn: none hides another. */
const WIDTHS = [0, 4, 2, 2];
const powers = (least, base, of) => Array.from({ length: 12 }, (_, i) => of.map((n) => least * n * base ** i)).flat();
/** What may lie between two grid lines: no part of a message, and bytes by powers of two. */
const STEPS = powers(1, 10, [1, 2, 5]);
const RATE_STEPS = powers(0.1, 10, [1, 2, 5]);
export const BYTE_STEPS = powers(1, 1024, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]);
const dark = matchMedia('(prefers-color-scheme: dark)');

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const plotted = (series, ring) => [ring.map((s) => s.at), ...series.map(({ key }) => ring.map((s) => s[key] ?? null))];

/** @type {ChartOptions} */
const options = (series, span, width, height, onPoint, unit, steps) => {
	const ink = css('--ink-2');
	const grid = { stroke: css('--line'), width: 1 };
	const font = '11px system-ui, sans-serif';
	return {
		width,
		height,
		legend: { show: false },
		padding: [8, 28, 0, 0],
		cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
		scales: {
			x: {
				range: (u) => {
					const times = u.data[0];
					const end = times[times.length - 1] ?? Date.now() / 1000;
					return [end - (span > 600 ? span : Math.min(span, Math.max(SPAN_MIN_S, end - (times[0] ?? end)))), end];
				},
			},
			y: { range: (_u, _min, max) => [0, max > 0 ? max * 1.12 : 1] },
		},
		axes: [
			{ stroke: ink, grid: { show: false }, ticks: { show: false }, font, size: 24, space: 80, incrs: [5, 15, 30, 60, 120, 300, 900, 1800, 3600, 7200, 14_400], values: (_u, at) => at.map((s) => new Date(s * 1000).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', second: span > 600 ? undefined : '2-digit', hour12: false })) },
			{ stroke: ink, grid, ticks: { show: false }, font, size: (_u, labels) => 16 + 6 * Math.max(4, ...(labels ?? []).map((l) => l.length)), space: 36, incrs: steps, values: (_u, at) => at.map(unit) },
		],
		series: [
			{},
			...series.map((s) => {
				const stroke = css(`--series-${s.color ?? 1}`);
				return { label: s.label, stroke, width: WIDTHS[s.color ?? 1], dash: s.dash, points: { show: false }, spanGaps: true, fill: s.fill ? `${stroke}22` : undefined };
			}),
		],
		hooks: { setCursor: [(u) => onPoint(u.cursor.idx ?? null)] },
	};
};

/** @param {ChartProps} props */
export function Chart({ title, series, ring, unit, at, low, span = 600, steps = STEPS }) {
	const box = useRef(null);
	const plot = useRef(null);
	const latest = useRef(ring);
	latest.current = ring;
	const [pointed, point] = useState(null);
	const ready = ring.length > 1;

	useEffect(() => {
		const el = box.current;
		if (!ready || !el) return undefined;
		const build = () => {
			plot.current?.destroy();
			plot.current = new uPlot((options(series, span, el.clientWidth - 16, el.clientHeight - 8, point, unit, steps)), plotted(series, latest.current), el);
		};
		build();
		const resize = new ResizeObserver(() => plot.current?.setSize({ width: el.clientWidth - 16, height: el.clientHeight - 8 }));
		resize.observe(el);
		dark.addEventListener('change', build);
		return () => {
			resize.disconnect();
			dark.removeEventListener('change', build);
			plot.current?.destroy();
			plot.current = null;
		};
	}, [ready, span, series.map((s) => s.key).join()]);

	useEffect(() => {
		plot.current?.setData(plotted(series, latest.current));
	}, [at, ring.length]);

	const valueAt = ({ key }, i) => ring.slice(0, i + 1).findLast((s) => key in s)?.[key];
	const last = ring.length - 1;
	const i = Math.min(pointed ?? last, last);
	const spoken = series.map((s) => `${s.label} ${unit(valueAt(s, last))}`).join(', ');
	return html`
		<section class="card chart ${low ? 'low' : ''}">
			<header>
				<h2>${title}</h2>
				<ul class="legend">${pointed !== null && html`<li>${time(ring[i].at * 1000)}</li>`}${series.map((s) => html`
					<li key=${s.key}><svg width="16" height="8" aria-hidden="true"><line x1="0" x2="16" y1="4" y2="4" stroke="var(--series-${s.color ?? 1})" stroke-width="3" stroke-dasharray=${s.dash ? '4 3' : undefined} /></svg>
						${s.label}<b>${unit(valueAt(s, i))}</b></li>`)}
				</ul>
			</header>
			<div class="plot" ref=${box} role="img" aria-label="${title}, now: ${spoken}">${!ready && html`<div class="waiting">Collecting samples…</div>`}</div>
		</section>`;
}

const DEPTH = [
	{ key: 'ready', label: 'Ready', color: 1, fill: true },
	{ key: 'unacked', label: 'Unacked', color: 2, dash: [4, 4] },
];
const RATES = [
	{ key: 'in', label: 'In', color: 1, fill: true },
	{ key: 'out', label: 'Out', color: 2 },
	{ key: 'ack', label: 'Acked', color: 3, dash: [4, 4] },
];

/** What `useFlow` gives, as two charts. @param {FlowProps} props */
export const Flow = ({ choose, note, depth = 'Messages in queues', ...flow }) => html`
	<div class="head"><h2>Flow</h2>${note && html`<span class="muted">${note}</span>`}<span class="spacer" />${choose && html`<${Segmented} label="Charts show the last" of=${SPANS} value=${flow.span} choose=${choose} />`}</div>
	<div class="two"><${Chart} title="Message rates" series=${RATES} ...${flow} unit=${rate} steps=${RATE_STEPS} />
		<${Chart} title=${depth} series=${DEPTH} ...${flow} unit=${short} /></div>`;
