// Bindings as a list, to add to and take from.
import { del, exchangeName, html, link, named, parseArguments, path, post } from '../lib.js';
import { acts, argued, Card, coded, Note, Opens } from './card.js';
import { Asks } from './confirm.js';
import { FormDialog } from './form.js';
import { Rows } from './table.js';
import { toast } from './toast.js';

const bindingPath = (b) => `bindings/${path(b.vhost)}/e/${path(b.source)}/${b.destination_type === 'queue' ? 'q' : 'e'}/${path(b.destination)}`;
const bindingId = (b) => [b.source, b.destination_type, b.destination, b.properties_key].join('\n');

/** @param {BindProps} props */
function Bind({ vhost, source, destination, onClose, onDone }) {
	const bind = async (v) => {
		const to = { vhost, source: source ?? v.source, destination: destination ?? v.destination, destination_type: destination === undefined ? v.type : 'queue' };
		await post(bindingPath(to), { routing_key: v.routing_key, arguments: parseArguments(v.arguments) });
		toast(`${to.destination} is bound to ${to.source}.`);
		onDone();
	};
	return html`<${FormDialog} narrow title=${source === undefined ? `Bind ${destination} to an exchange` : `Bind from ${source}`} submit="Bind" onSubmit=${bind} onClose=${onClose} fields=${[
		...(source === undefined ? [{ name: 'source', label: 'Exchange', required: true }] : [
			{ name: 'type', label: 'To', kind: 'select', options: [['queue', 'A queue'], ['exchange', 'An exchange']] },
			{ name: 'destination', label: 'Name', required: true }]),
		{ name: 'routing_key', label: 'Routing key', mono: true },
		{ name: 'arguments', label: 'Arguments', kind: 'textarea', mono: true, placeholder: 'x-match=all\ntenant="a"', hint: 'For headers exchanges; one key=value a line.' },
	]} />`;
}

/** @param {BindingsProps} props */
export function Bindings({ poll, vhost, source, destination }) {
	const columns = [
		source === undefined
			? named('Exchange', (b) => html`<a href=${link(['exchange', b.vhost, b.source])}>${exchangeName(b.source)}</a>`, 'source')
			: named('To', (b) => html`<a href=${link([b.destination_type, b.vhost, b.destination])}>${b.destination}</a> ${b.destination_type === 'exchange' && html`<span class="tag">exchange</span>`}`, 'destination'),
		coded('routing_key', 'Routing key'),
		argued(2),
		acts((b) => b.source !== '' && html`<${Asks} small act="Unbind" name="Unbind ${b.destination} from ${b.source}, key ${b.routing_key}" title="Unbind ${b.destination} from ${b.source}?"
			says="Messages with the key “${b.routing_key}” no longer go from ${b.source} to ${b.destination} by this binding."
			run=${() => del(`${bindingPath(b)}/${path(b.properties_key)}`)} done="${b.destination} unbound from ${b.source}." after=${poll.refresh} />`),
	];
	return html`
		<${Card} title="Bindings" tools=${source !== '' && html`<${Opens} class="small" plus label="Bind" of=${(close) => html`<${Bind} vhost=${vhost} source=${source} destination=${destination} onClose=${close} onDone=${poll.refresh} />`} />`}>
			<${Rows} of=${poll} label="Bindings" columns=${columns} id=${bindingId} none=${html`<${Note}>${source === undefined ? 'Bound to no exchange.' : 'Nothing is bound here: messages are unroutable, unless there is an alternate exchange.'}<//>`} />
		<//>`;
}
