import { exchangeName, html, parseArguments, path, post } from '../lib.js';
import { FormDialog } from './form.js';
import { toast } from './toast.js';

/** @param {PublishProps} props */
export function Publish({ vhost, exchange, routingKey = '', onClose, onDone }) {
	const send = async (v) => {
		const headers = parseArguments(v.headers);
		const properties = {
			delivery_mode: v.persistent ? 2 : 1,
			headers: Object.keys(headers).length ? headers : undefined,
			content_type: v.content_type || undefined,
			expiration: v.expiration?.toString(),
			priority: v.priority,
		};
		// An empty path segment gets lost.
		const result = await post(`exchanges/${path(vhost, exchange || 'amq.default')}/publish`, {
			properties, routing_key: v.routing_key, payload: v.payload, payload_encoding: v.base64 ? 'base64' : 'string',
		});
		if (!result.routed) throw new Error('No binding matches this key; the message was dropped.');
		toast('Published and routed.');
		onDone?.();
	};
	return html`<${FormDialog} title="Publish to ${routingKey && !exchange ? routingKey : exchangeName(exchange)}" submit="Publish" onSubmit=${send} onClose=${onClose} fields=${[
		{ name: 'routing_key', label: 'Routing key', value: routingKey, wide: true, mono: true },
		{ name: 'payload', label: 'Body', kind: 'textarea', rows: 6, wide: true, mono: true },
		{ name: 'content_type', label: 'Content type', placeholder: 'application/json' },
		{ name: 'expiration', label: 'Expires after, ms', kind: 'number', min: 0 },
		{ name: 'priority', label: 'Priority', kind: 'number', min: 0, max: 255 },
		{ name: 'headers', label: 'Headers', kind: 'textarea', wide: true, mono: true, placeholder: 'tenant="a"\nx-delay=5000', hint: 'One key=value a line.' },
		{ name: 'persistent', label: 'Persistent', kind: 'checkbox', value: true },
		{ name: 'base64', label: 'The body is base64', kind: 'checkbox' },
	]} />`;
}
