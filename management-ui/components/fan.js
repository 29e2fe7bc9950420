// One exchange as a picture: what feeds it on the left, what it feeds on the right, the keys on the lines.
import { html } from '../lib/html.js';
import { exchangeName } from '../lib/format.js';
import { link } from '../lib/route.js';
import { destinationLink } from './bindings.js';

const NODES_MAX = 40;
const ROW = 40;
const BOX = { width: 200, height: 28 };
const WIDTH = 960;
/** Without a left side. */
const WIDTH_HALF = 600;
const KEYS_MAX = 28;

/** @param {string} text @param {number} most */
const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

/** Bindings between the same two ends become one line. @param {any[]} bindings @param {(b: any) => string} end */
function grouped(bindings, end) {
  /** @type {Map<string, {first: any, keys: string[]}>} */
  const groups = new Map();
  for (const b of bindings) {
    const group = groups.get(end(b)) ?? { first: b, keys: [] };
    group.keys.push(b.routing_key || (Object.keys(b.arguments ?? {}).length ? 'headers' : ''));
    groups.set(end(b), group);
  }
  return [...groups.values()];
}

/** @param {{x: number, y: number, text: string, kind: string, href?: string}} props */
function Box({ x, y, text, kind, href }) {
  const box = html`<g class="node ${kind}" transform="translate(${x} ${y - BOX.height / 2})"><title>${text}</title>
    <rect width=${BOX.width} height=${BOX.height} rx=${kind.includes('exchange') ? 14 : 5} /><text x=${BOX.width / 2} y="18" text-anchor="middle">${cut(text, 26)}</text></g>`;
  return href ? html`<a href=${href}>${box}</a>` : box;
}

/** @param {{x1: number, y1: number, x2: number, y2: number, keys: string[], outward?: boolean}} props */
function Line({ x1, y1, x2, y2, keys, outward }) {
  const mid = (x1 + x2) / 2;
  const text = cut(keys.filter(Boolean).slice(0, 3).join(', ') + (keys.length > 3 ? ` +${keys.length - 3}` : ''), KEYS_MAX);
  // On the outer side of the line, which bends towards the middle.
  const [end, other] = outward ? [y2, y1] : [y1, y2];
  const labelY = end > other + 1 ? end + 14 : end - 6;
  return html`<path class="edge" d="M${x1} ${y1}C${mid} ${y1} ${mid} ${y2} ${x2 - 6} ${y2}" marker-end="url(#arrow)" />
    ${text && html`<text class="edge-label" x=${outward ? x2 - 14 : x1 + 10} y=${labelY} text-anchor=${outward ? 'end' : 'start'}><title>${keys.join('\n')}</title>${text}</text>`}`;
}

/** @param {{vhost: string, name: string, incoming: any[], outgoing: any[]}} props */
export function Fan({ vhost, name, incoming, outgoing }) {
  const left = grouped(incoming, (b) => b.source);
  const right = grouped(outgoing, (b) => `${b.destination_type}\n${b.destination}`);
  const shownLeft = left.slice(0, NODES_MAX);
  const shownRight = right.slice(0, NODES_MAX);
  const height = Math.max(shownLeft.length, shownRight.length, 1) * ROW + 24;
  const middle = height / 2;
  const y = (i, /** @type {number} */ n) => middle + (i - (n - 1) / 2) * ROW;
  const width = left.length ? WIDTH : WIDTH_HALF;
  const here = left.length ? (WIDTH - BOX.width) / 2 : 8;
  return html`
    <div class="table" tabindex="0" role="region" aria-label="Bindings as a picture"><svg class="graph" viewBox="0 0 ${width} ${height}" preserveAspectRatio=${left.length ? 'xMidYMid' : 'xMinYMid'} style=${{ minWidth: left.length ? '640px' : '420px', maxHeight: `${height * 1.4}px` }} role="group" aria-label="${exchangeName(name)} feeds ${right.length} destinations and is fed by ${left.length} exchanges">
      <defs><marker id="arrow" viewBox="0 0 8 8" refX="2" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z" fill="var(--line-strong)" /></marker></defs>
      ${shownLeft.map((g, i) => html`<${Line} x1=${8 + BOX.width} y1=${y(i, shownLeft.length)} x2=${here} y2=${middle} keys=${g.keys} /><${Box} x=${8} y=${y(i, shownLeft.length)} kind="exchange" text=${exchangeName(g.first.source)} href=${link(['exchange', vhost, g.first.source])} />`)}
      ${shownRight.map((g, i) => html`<${Line} outward x1=${here + BOX.width} y1=${middle} x2=${width - 8 - BOX.width} y2=${y(i, shownRight.length)} keys=${g.keys} /><${Box} x=${width - 8 - BOX.width} y=${y(i, shownRight.length)} kind=${g.first.destination_type} text=${g.first.destination} href=${destinationLink(g.first)} />`)}
      <${Box} x=${here} y=${middle} kind="exchange here" text=${exchangeName(name)} />
    </svg></div>
    ${(left.length > NODES_MAX || right.length > NODES_MAX) && html`<div class="foot muted">The picture shows the first ${NODES_MAX} on each side; the list has all.</div>`}`;
}
