// Snippets for empty pages. Names are JSON strings, valid in Python and Rust. A `{?...}` line, for the default exchange only, declares the queue.
import { path } from './api.js';
import snippets from './snippets.json' with { type: 'json' };

const fill = (/** @type {Record<string, string[]>} */ code, exchange, key) => Object.fromEntries(Object.entries(code).map(([language, lines]) => [language, [...snippets.connect[language], ...lines]
	.filter((line) => !exchange || !line.startsWith('{?'))
	.map((line) => line.replace(/^\{\?(.*)\}$/, '$1').replace('{exchange}', JSON.stringify(exchange)).replace('{key}', JSON.stringify(key)))
	.join('\n')]));
export const publishSnippet = (exchange, key) => fill(snippets.publish, exchange, key);
export const consumeSnippet = (queue) => fill(snippets.consume, '', queue);

/** Where clients connect. What only monitors may know is left to fill in, as the password is. */
export function clientUrl(listeners, vhost) {
	const { tls, port = 'PORT' } = ['amqp', 'amqp/ssl'].map((protocol) => listeners?.find((l) => l.protocol === protocol)).find(Boolean) ?? {};
	return `amqp${tls ? 's' : ''}://USER:PASSWORD@${location.hostname}:${port}/${path(vhost)}`;
}
