// The log as it is written, newest below.
import { amend, call, Card, Empty, Head, html, Search, Segmented, Skeleton, Stale, time, useEffect, useRef, useRoute, useState, utc } from '../ui.js';

const LINES_MAX = 1000;
/** Lines that come in one burst are drawn at once. */
const TOGETHER_MS = 100;
const AGAIN_MS = 2000;
const LEVELS = ['error', 'warn', 'info', 'debug'];

export default function Logs() {
	const { query } = useRoute();
	const level = query.level ?? 'info';
	const [lines, setLines] = useState(null);
	const [failed, fail] = useState(null);
	const end = useRef(null);
	const text = (query.name ?? '').toLowerCase();
	useEffect(() => {
		const abort = new AbortController();
		const { signal } = abort;
		let after = 0;
		let timer = 0;
		let fresh = [];
		const show = () => setLines((old) => [...(old ?? []), ...fresh.splice(0)].slice(-LINES_MAX));
		setLines(null);
		const follow = async () => {
			try {
				const got = await call('GET', 'logs', { query: { after, level }, signal });
				// It began anew, with numbers of its own.
				if (got.latest < after) {
					setLines([]);
					after = 0;
				} else {
					after = got.latest;
					fresh = got.lines;
					show();
					fail(null);
					await call('GET', 'livelog', { query: { after, level }, signal, onEvent(line) {
						if (!line) return;
						after = line.seq;
						if (fresh.push(line) === 1) setTimeout(show, TOGETHER_MS);
					} });
				}
			} catch (error) {
				if (signal.aborted) return;
				fail(error);
			}
			if (!signal.aborted) timer = setTimeout(follow, AGAIN_MS);
		};
		follow();
		return () => {
			abort.abort();
			clearTimeout(timer);
		};
	}, [level]);
	useEffect(() => {
		const box = end.current;
		// Who has scrolled up is reading.
		if (box && box.scrollHeight - box.scrollTop - box.clientHeight < 200) box.scrollTop = box.scrollHeight;
	}, [lines]);
	const shown = (lines ?? []).filter((l) => !text || `${l.message} ${l.target} ${JSON.stringify(l.fields)}`.toLowerCase().includes(text));
	return html`
		<${Head} title="Log" note="latest lines, live" />
		<${Stale} error=${failed} />
		<${Card}><div class="tools"><${Search} label="Filter the log" value=${query.name ?? ''} onChange=${(name) => amend({ name })} /><span class="spacer" />
				<${Segmented} label="Minimum level" of=${LEVELS.map((l) => [l, l])} value=${level} choose=${(l) => amend({ level: l })} /></div>
			${lines === null ? html`<${Skeleton} />` : shown.length ? html`<div class="log" ref=${end} tabindex="0" role="log" aria-label="Log">${shown.map((l) => html`
				<div key=${l.seq}><time title=${utc(l.timestamp)}>${time(l.timestamp)}</time><span class="tag ${{ error: 'bad', warn: 'warn' }[l.level] ?? ''}">${l.level}</span><span>${l.message}${Object.entries(l.fields ?? {}).map(([k, v]) => html` <span class="muted">${k}=${String(v)}</span>`)}</span></div>`)}</div>`
				: html`<${Empty} title="No such line">Nothing of this level was logged${text ? ` that has “${text}” in it` : ''}.<//>`}<//>`;
}
