// Declares a queue or an exchange.
import { capital, go, html, parseArguments, path, put } from '../lib.js';
import { Head, Opens } from './card.js';
import { FormDialog, NAME } from './form.js';
import { toast } from './toast.js';
import { useVhostField } from './vhost-field.js';

/** @param {DeclareProps} props */
function Form({ kind, label, fields, example, onClose }) {
	const declare = async ({ vhost, name, args, delayed, ...v }) => {
		await put(`${kind}s/${path(vhost, name)}`, { ...v, arguments: { ...(delayed && { 'x-delayed-type': delayed }), ...parseArguments(args) } });
		toast(`${capital(kind)} ${name} declared.`);
		go([kind, vhost, name]);
	};
	return html`<${FormDialog} title=${label} submit="Declare" onSubmit=${declare} onClose=${onClose} fields=${[
		useVhostField(),
		NAME,
		...fields,
		{ name: 'args', label: 'Arguments', kind: 'textarea', mono: true, wide: true, placeholder: example, hint: 'One key=value a line.' },
	]} />`;
}

/** The heading of a list, with the button. @param {DeclareHeadProps} props */
export const DeclareHead = ({ title, ...rest }) => html`<${Head} title=${title} actions=${html`
	<${Opens} class="primary" plus label=${rest.label} of=${(close) => html`<${Form} ...${rest} onClose=${close} />`} />`} />`;

export const DURABLE = { name: 'durable', label: 'Durable', kind: 'checkbox', value: true, hint: 'Survives a restart.' };
