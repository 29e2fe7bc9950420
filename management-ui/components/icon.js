// Line icons on a 16 px grid, drawn in icons.svg.
import { html } from '../lib.js';

/** @param {IconProps} props */
export const Icon = ({ name, size = 16, class: extra }) => html`
	<svg class=${extra} width=${size} height=${size} aria-hidden="true"><use href="icons.svg#${name}" /></svg>`;
