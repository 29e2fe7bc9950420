import { html } from '../lib.js';

const WIDTH = 96;
const HEIGHT = 24;

/** @param {SparkProps} props */
export function Spark({ values, label }) {
	const list = /** @type {number[]} */ (values.filter((v) => v !== undefined).slice(-60));
	// Nothing is known yet, which is not zero.
	if (list.length < 2) return html`<svg class="spark" aria-hidden="true" />`;
	// Headroom: a steady level is not to look full.
	const top = (Math.max(...list) || 1) * 1.25;
	const x = (i) => ((i * WIDTH) / (list.length - 1)).toFixed(1);
	const y = (v) => (HEIGHT - 1.5 - (v / top) * (HEIGHT - 4)).toFixed(1);
	const line = list.map((v, i) => `${i ? 'L' : 'M'}${x(i)} ${y(v)}`).join('');
	return html`<svg class="spark" viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" role="img" aria-label=${label}>
		<path class="area" d="${line}V${HEIGHT}H0Z" /><path class="line" d=${line} />
	</svg>`;
}
