import { call, Card, confirm, count, Head, html, isAdministrator, path, plain, plural, post, Problem, Table, useSignal, useState, vhost } from '../ui.js';

const ROWS_MAX = 500;

function download(name, what) {
	const url = URL.createObjectURL(new Blob([JSON.stringify(what, null, 2)], { type: 'application/json' }));
	const a = Object.assign(document.createElement('a'), { href: url, download: name });
	a.click();
	setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

const COLUMNS = [
	{ key: 'what', label: '', draw: (d) => html`<span class="tag ${d.reason ? 'bad' : ''}">${d.reason ? 'refused' : 'new or changed'}</span>` },
	plain('kind', 'Kind'),
	{ key: 'name', label: 'Name', class: 'name', draw: (d) => html`${d.name} ${d.vhost && html`<span class="muted">in ${d.vhost}</span>`}${d.reason && html`<div class="bad">${d.reason}</div>`}` },
];

/** @param {PreviewProps} props */
function Preview({ read: { name, report } }) {
	const rows = [...report.conflicts, ...report.create];
	return html`<${Card} title=${name} note="${plural(report.create.length, 'change')}, ${count(report.unchanged)} there already${report.conflicts.length ? `, ${count(report.conflicts.length)} refused` : ''}">
		${rows.length > 0 && html`<div class="scroll"><${Table} label="What an import would do" columns=${COLUMNS} rows=${rows.slice(0, ROWS_MAX)} id=${(d) => JSON.stringify(d)} /></div>`}
		${rows.length > ROWS_MAX && html`<div class="foot muted">The first ${ROWS_MAX} of ${count(rows.length)}.</div>`}<//>`;
}

export default function Definitions() {
	const chosen = useSignal(vhost);
	const [failed, fail] = useState(null);
	const [read, setRead] = useState(null);
	const where = chosen ? `definitions/${path(chosen)}` : 'definitions';
	const scope = chosen ? `the virtual host ${chosen}` : 'the whole broker';
	const save = async () => {
		fail(null);
		try {
			const definitions = await call('GET', where);
			download(`definitions-${(chosen || location.hostname).replace(/[^\w.-]+/g, '_')}-${new Date().toISOString().slice(0, 10)}.json`, definitions);
		} catch (e) {
			fail(e);
		}
	};
	const open = async (event) => {
		fail(null);
		setRead(null);
		const file = event.currentTarget.files?.[0];
		if (!file) return;
		try {
			const definitions = JSON.parse(await file.text());
			const report = await call('POST', where, { query: { dry_run: true }, body: definitions });
			setRead({ name: file.name, definitions, report });
		} catch (e) {
			fail(e instanceof SyntaxError ? new Error(`${file.name} is not JSON.`) : e);
		}
	};
	const bring = () => read && confirm({
		title: `Import ${read.name}?`,
		says: `${plural(read.report.create.length, 'definition')} are made or changed in ${scope}, ${count(read.report.unchanged)} are there already and stay, nothing is removed.`,
		act: 'Import',
		run: () => post(where, read.definitions),
		done: `${read.name} is imported.`,
		after: () => setRead(null),
	});
	return html`
		<${Head} title="Definitions" note=${`of ${scope}`} />
		<${Problem} error=${failed} />
		<div class="two">
			<${Card} title="Export"><div class="body stack"><p>Users, permissions, policies, exchanges, queues and bindings as one JSON file, without messages. It holds password hashes: keep it as you keep passwords.</p>
				<div class="row"><button class="primary" onClick=${save}>Download definitions</button></div></div><//>
			<${Card} title="Import"><div class="body stack"><p>A file that was exported here or from RabbitMQ. You see what it holds before anything is done.</p>
				<div class="field"><label for="definitions-file">Definitions file (JSON)</label><input id="definitions-file" type="file" accept=".json,application/json" onChange=${open} disabled=${!isAdministrator() && !chosen} /></div>
				${!isAdministrator() && !chosen && html`<p class="muted">Only an administrator may import for the whole broker. Choose a virtual host above.</p>`}
				${read && html`<${Preview} read=${read} /><div class="row"><button class="primary" onClick=${bring} disabled=${!read.report.create.length}>Import</button></div>`}</div><//>
		</div>`;
}
