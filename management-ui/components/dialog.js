import { html, useEffect, useRef } from '../lib.js';

/** @param {DialogProps} props */
export function Dialog({ title, onClose, narrow, children }) {
	const box = useRef(null);
	useEffect(() => {
		const dialog = box.current;
		const before = /** @type {HTMLElement | null} */ (document.activeElement);
		if (dialog && !dialog.open) dialog.showModal();
		return () => {
			dialog?.close();
			before?.focus();
		};
	}, []);
	return html`
		<dialog ref=${box} class=${narrow ? 'narrow' : ''} aria-label=${title} onClose=${() => box.current && onClose()}
			onMouseDown=${(e) => { if (e.target === box.current) onClose(); }}>
			${children}
		</dialog>`;
}
