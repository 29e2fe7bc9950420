// Line icons on a 16 px grid, drawn in icons.svg.
import { html } from '../lib.js';

/** @param {IconProps} props */
export const Icon = ({ name, size = 16, class: extra }) => html`
	<svg class=${extra} width=${size} height=${size} fill="none" stroke="currentColor" stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><use href="icons.svg#${name}" /></svg>`;
