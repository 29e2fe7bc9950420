// Places a topology in columns: exchanges by their distance from what publishes to them, queues last.

export const NODE = { width: 184, height: 28 };
const GAP = { x: 176, y: 12 };
const SWEEPS = 4;

/** @type {LayOut} */
export const layout = (things, edges, here) => {
	const nodes = new Map(things.map((t) => [t.id, { ...t, x: 0, y: 0, column: 0 }]));
	const exchangeEdges = edges.filter((e) => nodes.get(e.to)?.kind === 'exchange');
	// Longest path, in as many rounds as exchanges: bindings may form circles.
	const rounds = Math.min(12, exchangeEdges.length);
	for (let round = 0; round < rounds; round++) {
		let moved = false;
		for (const { from, to } of exchangeEdges) {
			const [a, b] = [nodes.get(from), nodes.get(to)];
			if (a && b && a !== b && b.column <= a.column && a.column < rounds) {
				b.column = a.column + 1;
				moved = true;
			}
		}
		if (!moved) break;
	}
	const deepest = Math.max(0, ...[...nodes.values()].filter((n) => n.kind === 'exchange').map((n) => n.column));
	for (const n of nodes.values()) if (n.kind === 'queue') n.column = deepest + 1;
	// Around one exchange: what feeds it before it, what it feeds behind it.
	if (here) for (const n of nodes.values()) n.column = n.id === here ? 1 : edges.some((e) => e.from === here && e.to === n.id) ? 2 : 0;

	const columns = [];
	for (const n of nodes.values()) (columns[n.column] ??= []).push(n);
	const used = columns.filter(Boolean);
	const beside = new Map();
	for (const { from, to } of edges) {
		beside.set(from, [...(beside.get(from) ?? []), to]);
		beside.set(to, [...(beside.get(to) ?? []), from]);
	}
	const place = () => used.forEach((column, c) => column.forEach((n, i) => {
		n.x = c * (NODE.width + GAP.x);
		n.y = (i - (column.length - 1) / 2) * (NODE.height + GAP.y);
	}));
	used.forEach((column) => column.sort((a, b) => a.name.localeCompare(b.name)));
	place();
	// Order columns by their neighbours, to and fro: fewer lines cross.
	for (let sweep = 0; sweep < SWEEPS; sweep++) {
		for (const column of sweep % 2 ? [...used].reverse() : used) {
			const centre = new Map(column.map((n) => {
				const ys = (beside.get(n.id) ?? []).map((id) => nodes.get(id)?.y ?? 0);
				return [n.id, ys.length ? ys.reduce((a, b) => a + b, 0) / ys.length : n.y];
			}));
			column.sort((a, b) => (centre.get(a.id)) - (centre.get(b.id)));
			place();
		}
	}
	const top = Math.min(0, ...[...nodes.values()].map((n) => n.y));
	for (const n of nodes.values()) n.y -= top - NODE.height / 2;
	const height = Math.max(NODE.height, ...[...nodes.values()].map((n) => n.y + NODE.height / 2));
	return { nodes, width: Math.max(1, used.length) * (NODE.width + GAP.x) - GAP.x, height };
};
