// Looks at the messages of a queue: as text, as JSON, as bytes.
import { bytes, exchangeName, html, path, plural, post, useState } from '../lib.js';
import { Card, Segmented, Steps } from './card.js';
import { confirm } from './confirm.js';
import { Time } from './facts.js';
import { Form } from './form.js';

const BODY_BYTES_MAX = 65_536;

function bodyOf(m) {
	if (m.payload_encoding === 'base64') return Uint8Array.from(atob(m.payload), (c) => c.charCodeAt(0));
	return new TextEncoder().encode(m.payload);
}

function hex(body) {
	const lines = [];
	for (let at = 0; at < body.length; at += 16) {
		const part = [...body.slice(at, at + 16)];
		const digits = part.map((b) => b.toString(16).padStart(2, '0')).join(' ').padEnd(48);
		const text = part.map((b) => (b >= 32 && b < 127 ? String.fromCharCode(b) : '.')).join('');
		lines.push(`${at.toString(16).padStart(8, '0')}  ${digits} ${text}`);
	}
	return lines.join('\n');
}

function asText(body) {
	try {
		return new TextDecoder('utf-8', { fatal: true }).decode(body);
	} catch {
		return null;
	}
}

function asJson(text) {
	if (!text || !/^\s*[[{]/.test(text)) return null;
	try {
		return JSON.stringify(JSON.parse(text), null, 2);
	} catch {
		return null;
	}
}

export function Message({ m, n }) {
	const body = bodyOf(m);
	const text = asText(body);
	// A control character means binary, even in valid UTF-8.
	const plain = text !== null && !body.some((b) => b < 9 || (b > 13 && b < 32)) ? text : null;
	const json = asJson(plain);
	const views = ['JSON', 'Text', 'Hex'].filter((_, i) => [json, plain, body][i] !== null);
	const [shown, show] = useState(views[0]);
	const { headers, ...properties } = m.properties ?? {};
	const cut = m.payload_bytes > body.length;
	return html`
		<article class="message">
			<div class="meta">
				<b>${n}</b><span>from <b>${exchangeName(m.exchange)}</b></span><span>key <code>${m.routing_key}</code></span><span class="muted">${bytes(m.payload_bytes)}</span>
				${m.redelivered && html`<span class="tag">redelivered</span>`}
				<span class="spacer" /><${Segmented} label="Body of message ${n} as" of=${views.map((name) => [name, name])} value=${shown} choose=${show} />
			</div>
			${Object.keys(properties).length > 0 && html`<div class="meta muted">${Object.entries(properties).map(([k, v]) => html`<span key=${k}>${k} ${k === 'timestamp' ? html`<${Time} at=${Number(v) * 1000} />` : html`<code>${String(v)}</code>`}</span>`)}</div>`}
			${headers && Object.keys(headers).length > 0 && html`<details><summary>${plural(Object.keys(headers).length, 'header')}</summary><pre class="payload" tabindex="0">${JSON.stringify(headers, null, 2)}</pre></details>`}
			<pre class="payload" tabindex="0" aria-label="Body of message ${n}">${shown === 'Hex' ? hex(body) : shown === 'JSON' ? json : plain}</pre>
			${cut && html`<p class="muted">The first ${bytes(body.length)} of ${bytes(m.payload_bytes)}.</p>`}
		</article>`;
}

const MODES = [['peek', 'Look only: nothing changes'], ['ack_requeue_true', 'Get and put back, as redelivered'], ['ack_requeue_false', 'Get and remove'], ['reject_requeue_false', 'Get and reject: dead-letter']];

/** @param {MessagesProps} props */
export function Messages({ vhost, queue, onChange }) {
	const [got, setGot] = useState(/** @type {any} */ (null));
	const fetchThem = async (v, offset = 0) => {
		const looks = v.ackmode === 'peek';
		const list = await post(`queues/${path(vhost, queue)}/get`, { ...v, encoding: 'auto', truncate: BODY_BYTES_MAX, offset: looks ? offset : undefined });
		setGot({ list, offset, page: looks && ((by) => fetchThem(v, Math.max(0, offset + by * v.count))), full: list.length === v.count });
		if (!looks) onChange();
		return list;
	};
	const ask = async (v) => {
		if (['peek', 'ack_requeue_true'].includes(v.ackmode)) await fetchThem(v);
		else {
			confirm({
				title: `Take ${plural(v.count, 'message')} out of ${queue}?`,
				says: v.ackmode === 'ack_requeue_false' ? 'They are shown here once and are then gone from the queue.' : 'They are shown here once, then dead-lettered, or dropped without a dead letter exchange.',
				act: 'Take them out',
				run: () => fetchThem(v),
				done: (r) => `${plural(r.length, 'message')} taken out of ${queue}.`,
			});
		}
	};
	return html`
		<${Card} title="Messages" note="from the head of the queue" id="messages">
			<div class="body"><${Form} keep submit="Show messages" onSubmit=${ask} fields=${[
				{ name: 'count', label: 'How many', kind: 'number', value: 10, min: 1, max: 1000, required: true },
				{ name: 'ackmode', label: 'How', kind: 'select', value: 'peek', options: MODES },
			]} /></div>
			${got && (got.list.length ? html`<div class="messages" tabindex="0" role="region" aria-label="Messages">${got.list.map((m, i) => html`<${Message} key=${`${got.offset + i}${m.payload.slice(0, 64)}`} m=${m} n=${got.offset + i + 1} />`)}</div>` : html`<div class="foot muted">No${got.offset ? ' further' : ''} message is ready.</div>`)}
			${got?.page && html`<${Steps} what="messages" back=${got.offset > 0 ? () => got.page(-1) : undefined} on=${got.full ? () => got.page(1) : undefined} />`}
		<//>`;
}
