import { html, useState } from '../lib/html.js';
import { toast } from './toast.js';

/** Code to copy, in one or more languages. @param {{variants: Record<string, string>}} props */
export function Code({ variants }) {
  const names = Object.keys(variants);
  const [shown, show] = useState(names[0]);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(variants[shown]);
      toast('Copied.');
    } catch {
      toast('The browser does not allow copying here; select the text instead.');
    }
  };
  return html`
    ${names.length > 1 && html`<div class="segmented" role="group" aria-label="Language">
      ${names.map((name) => html`<button type="button" class="small" aria-pressed=${String(name === shown)} onClick=${() => show(name)}>${name}</button>`)}
    </div>`}
    <div class="code"><pre tabindex="0">${variants[shown]}</pre><button type="button" class="small" onClick=${copy}>Copy</button></div>`;
}
