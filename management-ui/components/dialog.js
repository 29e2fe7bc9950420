import { html, useEffect, useRef } from '../lib/html.js';

/** A modal. Escape and the backdrop close it. @param {{title: string, onClose: () => void, narrow?: boolean, children?: any}} props */
export function Dialog({ title, onClose, narrow, children }) {
  const box = useRef(/** @type {HTMLDialogElement | null} */ (null));
  useEffect(() => {
    const dialog = box.current;
    if (dialog && !dialog.open) dialog.showModal();
    return () => dialog?.close();
  }, []);
  return html`
    <dialog ref=${box} class=${narrow ? 'narrow' : ''} aria-label=${title} onCancel=${(e) => { e.preventDefault(); onClose(); }}
      onMouseDown=${(e) => { if (e.target === box.current) onClose(); }}>
      ${children}
    </dialog>`;
}
