// Line icons on a 16 px grid.
import paths from './icons.json' with { type: 'json' };
import { html } from '../lib.js';

/** @param {IconProps} props */
export const Icon = ({ name, size = 16, class: extra }) => html`
	<svg class=${extra} width=${size} height=${size} viewBox="0 0 16 16" fill="none" stroke="currentColor" stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d=${paths[name]} /></svg>`;
