// Labelled inputs, and a form that shows the server's reason where it was sent.
import { html, useState } from '../lib.js';
import { Problem } from './state.js';
import { Dialog } from './dialog.js';

let ids = 0;

export function Field(spec) {
	const { name, label, hint, kind = 'text', options = [], value, wide, mono, autofocus, ...rest } = spec;
	const [id] = useState(() => `f${++ids}`);
	const common = { id, name, ...rest, 'aria-describedby': hint ? `${id}-hint` : undefined, class: mono ? 'mono' : undefined, autofocus };
	let input;
	if (kind === 'select') {
		input = html`<select ...${common}>${options.map((o) => {
			const [v, text] = Array.isArray(o) ? o : [o, o];
			return html`<option value=${v} selected=${v === value}>${text}</option>`;
		})}</select>`;
	} else if (kind === 'textarea') input = html`<textarea ...${common} defaultValue=${value} spellcheck=${false} />`;
	else if (kind === 'checkbox') input = html`<input type="checkbox" ...${common} defaultChecked=${!!value} />`;
	else input = html`<input type=${kind} ...${common} defaultValue=${value} spellcheck=${false} autocapitalize="off" />`;
	const check = kind === 'checkbox';
	const text = html`<label for=${id}>${label}</label>`;
	return html`<div class="field ${check ? 'check' : ''} ${wide ? 'wide' : ''}">${check ? [input, text] : [text, input]}${hint && html`<span class="hint" id="${id}-hint">${hint}</span>`}</div>`;
}

/** The field of what a thing is called. */
export const NAME = { name: 'name', label: 'Name', required: true, wide: true, autocomplete: 'off', autofocus: true };

/** @returns {Record<string, any>} checkboxes as booleans, numbers as numbers or undefined */
export function values(form) {
	const out = {};
	for (const el of /** @type {any} */ (form.elements)) {
		if (!el.name) continue;
		if (el.type === 'checkbox') out[el.name] = el.checked;
		else if (el.type === 'number') out[el.name] = el.value === '' ? undefined : Number(el.value);
		else if (el.type === 'file') out[el.name] = el.files?.[0];
		else out[el.name] = el.value;
	}
	return out;
}

/** @param {FormProps} props */
export function Form({ fields, submit, onSubmit, onCancel, danger, children, keep, keepLabel = 'Cancel' }) {
	const [error, setError] = useState(null);
	const [busy, setBusy] = useState(false);
	const send = async (event) => {
		event.preventDefault();
		const form = (event.currentTarget);
		setBusy(true);
		setError(null);
		try {
			await onSubmit(values(form));
			if (!keep && form.isConnected) form.reset();
		} catch (e) {
			setError(e);
		} finally {
			setBusy(false);
		}
	};
	return html`
		<form class="stack" onSubmit=${send}>
			${children}
			<div class="form">${fields.map((f) => html`<${Field} key=${f.name} ...${f} />`)}</div>
			<${Problem} error=${error} />
			<div class="row end">
				${onCancel && html`<button type="button" onClick=${onCancel}>${keepLabel}</button>`}
				<button type="submit" class="primary ${danger ? 'danger' : ''}" disabled=${busy}>${submit}</button>
			</div>
		</form>`;
}

/** @param {FormDialogProps} props */
export const FormDialog = ({ title, onSubmit, onClose, narrow, children, ...rest }) => html`
	<${Dialog} title=${title} narrow=${narrow} onClose=${onClose}>
		<${Form} ...${rest} keep onCancel=${onClose} onSubmit=${async (v) => { await onSubmit(v); onClose(); }}>
			<h2>${title}</h2>${children}
		<//>
	<//>`;
