// Exchanges and what is bound to them as a graph.
import { exchangeName, html, isStalled, layout, link, NODE, plural, short, useEffect, useMemo, useRef, useState } from '../lib.js';
import { Empty } from './state.js';

const NODES_MAX = 400;
const MARGIN = 24;
const ZOOM_MAX = 8;
/** Lines that are labelled without being pointed at. */
const LABELLED_MAX = 12;

const TIP = html`<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z" fill="var(--line-strong)" /></marker></defs>`;

function cut(text, most = 24) {
	const all = [...text];
	return all.length > most ? `${all.slice(0, most - 1).join('')}…` : text;
}

function graphOf(bindings) {
	const things = new Map();
	const edges = new Map();
	let left = 0;
	for (const b of bindings) {
		const from = `exchange\n${b.source}`;
		const to = `${b.destination_type}\n${b.destination}`;
		const fresh = [from, to].filter((id) => !things.has(id)).length;
		if (things.size + fresh > NODES_MAX) {
			left++;
			continue;
		}
		things.set(from, { id: from, kind: 'exchange', name: b.source });
		things.set(to, { id: to, kind: b.destination_type, name: b.destination });
		const edge = edges.get(`${from}\t${to}`) ?? { from, to, keys: [] };
		edge.keys.push(b.routing_key || (Object.keys(b.arguments ?? {}).length ? JSON.stringify(b.arguments) : '(no key)'));
		edges.set(`${from}\t${to}`, edge);
	}
	return { things: [...things.values()], edges: [...edges.values()], left };
}

/** @param {CanvasProps} props */
function Canvas({ width, height, children }) {
	const full = { x: -MARGIN, y: -MARGIN, w: width + 2 * MARGIN, h: height + 2 * MARGIN };
	const [view, setView] = useState(full);
	const svg = useRef(null);
	const drag = useRef(null);
	useEffect(() => setView(full), [width, height]);
	const zoom = (factor, px = 0.5, py = 0.5) => setView((v) => {
		const w = Math.min(full.w * 2, Math.max(full.w / ZOOM_MAX / 4, v.w * factor));
		const h = (v.h * w) / v.w;
		return { x: v.x + (v.w - w) * px, y: v.y + (v.h - h) * py, w, h };
	});
	useEffect(() => {
		const el = svg.current;
		if (!el) return undefined;
		// Not as an attribute: those listeners are passive, and the page would scroll as well.
		const wheel = (e) => {
			if (!e.ctrlKey && !e.metaKey && !e.shiftKey && Math.abs(e.deltaY) < Math.abs(e.deltaX)) return;
			e.preventDefault();
			const box = el.getBoundingClientRect();
			zoom(e.deltaY > 0 ? 1.15 : 1 / 1.15, (e.clientX - box.left) / box.width, (e.clientY - box.top) / box.height);
		};
		el.addEventListener('wheel', wheel, { passive: false });
		return () => el.removeEventListener('wheel', wheel);
	}, []);
	const move = (e) => {
		if (!drag.current || !svg.current) return;
		const scale = Math.max(view.w / svg.current.clientWidth, view.h / svg.current.clientHeight);
		const [dx, dy] = [(e.clientX - drag.current.x) * scale, (e.clientY - drag.current.y) * scale];
		drag.current = { x: e.clientX, y: e.clientY };
		setView((v) => ({ ...v, x: v.x - dx, y: v.y - dy }));
	};
	/** @type {[string, string, () => void][]} */
	const acts = [['+', 'Zoom in', () => zoom(0.8)], ['-', 'Zoom out', () => zoom(1.25)], ['0', 'Fit', () => setView(full)]];
	const keys = (e) => {
		const step = ({ ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] })[e.key];
		if (step) setView((v) => ({ ...v, x: v.x + (step[0] * v.w) / 10, y: v.y + (step[1] * v.h) / 10 }));
		else {
			const act = acts.find(([key]) => key === e.key);
			if (!act) return;
			act[2]();
		}
		e.preventDefault();
	};
	return html`
		<div class="tools"><span class="muted">Drag to move, wheel or + and − to zoom</span><span class="spacer" />
			${acts.map(([key, name, act]) => html`<button class="small" aria-label=${name} title="Key ${key}" onClick=${act}>${{ '-': '−', 0: name }[key] ?? key}</button>`)}</div>
		<svg ref=${svg} class="graph" tabindex="0" role="group" aria-label="Topology" viewBox="${view.x} ${view.y} ${view.w} ${view.h}"
			onKeyDown=${keys} onPointerDown=${(e) => { drag.current = { x: e.clientX, y: e.clientY }; }} onPointerMove=${move}
			onPointerUp=${() => { drag.current = null; }} onPointerLeave=${() => { drag.current = null; }}>
			${TIP}
			${children}
		</svg>`;
}

/** As large as it is, without controls. @param {CanvasProps} props */
const Picture = ({ width, height, children }) => html`<div class="table" tabindex="0" role="region" aria-label="Bindings as a picture">
	<svg class="graph still" viewBox="${-MARGIN} ${-MARGIN} ${width + 2 * MARGIN} ${height + 2 * MARGIN}" style=${{ width: `${width + 2 * MARGIN}px` }} role="group" aria-label="Bindings">${TIP}${children}</svg></div>`;

const narrow = matchMedia('(max-width: 760px)');

/** As a list, where a graph would be too small to read. */
const Branches = ({ edges, nodes, vhost, queues }) => html`<ul class="branches">${[...nodes.values()].filter((n) => edges.some((e) => e.from === n.id)).map((n) => html`
	<li key=${n.id}><a href=${link([n.kind, vhost, n.name])}><b>${exchangeName(n.name)}</b></a><ul>${edges.filter((e) => e.from === n.id).map((e) => {
		const [kind, name] = e.to.split('\n');
		const q = kind === 'queue' ? queues.get(name) : undefined;
		return html`<li key=${e.to}><code>${e.keys.join(', ')}</code><a href=${link([kind, vhost, name])}>${name}</a>${kind === 'exchange' ? html`<span class="tag">exchange</span>` : q && html`<span class=${isStuck(q) ? 'num warn' : 'num'}>${short(q.messages)}</span>`}</li>`;
	})}</ul></li>`)}</ul>`;

const isStuck = (q) => (!q.consumers && q.messages > 0) || isStalled(q);

/** @param {GraphProps} props */
export function Graph({ bindings, queues = new Map(), name, search = '', here }) {
	const [over, setOver] = useState('');
	const shape = JSON.stringify(bindings.map((b) => [b.source, b.destination, b.properties_key]));
	const { edges, left, placed } = useMemo(() => {
		const g = graphOf(bindings);
		return { ...g, placed: layout(g.things, g.edges, here && `exchange\n${here}`) };
	}, [shape, here]);
	const near = useMemo(() => new Set([over, ...edges.flatMap((e) => (e.from === over ? [e.to] : e.to === over ? [e.from] : []))]), [over, edges]);
	if (placed.nodes.size === 0) {
		return html`<${Empty} title=${search ? `Nothing matches “${search}”` : 'Nothing is bound yet'}>${search ? '' : 'Bind a queue to an exchange and it appears here. Every queue is also reachable by its name through the default exchange, which is not drawn.'}<//>`;
	}
	const more = left > 0 && html`<div class="foot muted">${plural(left, 'binding is', 'bindings are')} not drawn: a picture of more than ${NODES_MAX} nodes says nothing. Filter to see the rest.</div>`;
	if (narrow.matches) return html`<${Branches} edges=${edges} nodes=${placed.nodes} vhost=${name} queues=${queues} />${more}`;
	const few = edges.length <= LABELLED_MAX;
	// All lines before all labels: none is crossed out.
	const lines = edges.map(({ from, to, keys }) => {
		const [a, b] = /** @type {Placed[]} */ ([placed.nodes.get(from), placed.nodes.get(to)]);
		return { key: `${from}\t${to}`, on: over && (from === over || to === over), keys, x1: a.x + NODE.width, y1: a.y, x2: b.x, y2: b.y };
	});
	return html`
		<${here === undefined ? Canvas : Picture} width=${placed.width} height=${placed.height}>
			${lines.map(({ key, on, keys, x1, y1, x2, y2 }) => html`<path key=${key} class="edge ${on ? 'hot' : over && 'faded'}" d="M${x1} ${y1}C${(x1 + x2) / 2} ${y1} ${(x1 + x2) / 2} ${y2} ${x2} ${y2}" marker-end="url(#tip)"><title>${keys.join('\n')}</title></path>`)}
			${lines.filter(({ on }) => on || (few && !over)).map(({ key, keys, y1, x2, y2 }) => html`<text key="label ${key}" class="edge-label" x=${x2 - 12} y=${y2 + (y2 > y1 ? 14 : -6)} text-anchor="end">${cut(keys.join(', '))}</text>`)}
			${[...placed.nodes.values()].map((n) => {
				const q = n.kind === 'queue' ? queues.get(n.name) : undefined;
				const trouble = q && isStuck(q);
				return html`<a key=${n.id} href=${link([n.kind, name, n.name])} onMouseEnter=${() => setOver(n.id)} onMouseLeave=${() => setOver('')} onFocus=${() => setOver(n.id)} onBlur=${() => setOver('')}>
					<g class="node ${n.kind} ${n.kind === 'exchange' && n.name === here ? 'here' : ''} ${trouble ? 'trouble' : ''} ${over && !near.has(n.id) ? 'faded' : ''}" transform="translate(${n.x} ${n.y - NODE.height / 2})"><title>${exchangeName(n.name)}${q ? `\n${q.messages} messages, ${q.consumers} consumers` : ''}</title>
						<rect width=${NODE.width} height=${NODE.height} rx=${n.kind === 'exchange' ? 14 : 5} /><text x=${q ? 10 : NODE.width / 2} y="18" text-anchor=${q ? 'start' : 'middle'}>${cut(n.name, q ? 18 : 24)}</text>
						${q && html`<text class="sub" x=${NODE.width - 10} y="18" text-anchor="end">${short(q.messages)}</text>`}</g></a>`;
			})}
		<//>
		${more}`;
}
