// The log as it is written, newest below.
import { amend, Empty, get, html, Problem, Skeleton, time, useEffect, useRef, useRoute, useState, utc } from '../ui.js';

const LINES_MAX = 1000;
const EVERY_MS = 2000;
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
		let after = 0;
		let timer = 0;
		setLines(null);
		const ask = async () => {
			try {
				const got = await get('logs', { after, level }, abort.signal);
				// It began anew, with numbers of its own.
				if (got.latest < after) setLines([]);
				after = got.latest;
				if (got.lines.length || !after) setLines((old) => [...(old ?? []), ...got.lines].slice(-LINES_MAX));
				else setLines((old) => old ?? []);
				fail(null);
			} catch (error) {
				if (abort.signal.aborted) return;
				fail(error);
			}
			timer = setTimeout(ask, EVERY_MS);
		};
		ask();
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
		<div class="head"><h1>Log</h1><span class="muted">the last lines, and those to come</span></div>
		${failed && failed.status !== 0 && html`<${Problem} error=${failed} />`}
		<section class="card"><div class="tools"><div class="search"><input type="search" data-search aria-label="Filter the log" placeholder="Filter the log" value=${query.name ?? ''} onInput=${(e) => amend({ name: e.currentTarget.value })} /></div><span class="spacer" />
				<div class="segmented" role="group" aria-label="Least grave level">${LEVELS.map((l) => html`<button type="button" class="small" key=${l} aria-pressed=${String(l === level)} onClick=${() => amend({ level: l })}>${l}</button>`)}</div></div>
			${lines === null ? html`<${Skeleton} />` : shown.length ? html`<div class="log" ref=${end} tabindex="0" role="log" aria-label="Log">${shown.map((l) => html`
				<div key=${l.seq}><time title=${utc(Date.parse(l.timestamp) || l.timestamp)}>${time(Date.parse(l.timestamp) || l.timestamp)}</time><span class="tag ${{ error: 'bad', warn: 'warn' }[l.level] ?? ''}">${l.level}</span><span>${l.message}${Object.entries(l.fields ?? {}).map(([k, v]) => html` <span class="muted">${k}=${String(v)}</span>`)}</span></div>`)}</div>`
				: html`<${Empty} title="No such line">Nothing of this level was logged${text ? ` that has “${text}” in it` : ''}.<//>`}</section>`;
}
