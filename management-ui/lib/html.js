// The only module that knows the rendering library.
import { h, render } from '../vendor/preact.js';
import htm from '../vendor/htm.js';
export { useState, useEffect, useRef, useMemo } from '../vendor/preact-hooks.js';
export { render };

/** Marks that turn the direction of what follows: a name could rewrite the sentence that it stands in. */
const TURNING = /[\u202a-\u202e\u2066-\u2069]/g;
const shown = (child) => (typeof child === 'string' ? child.replace(TURNING, (mark) => `\\u${mark.charCodeAt(0).toString(16)}`) : child);

export const html = htm.bind((type, props, ...children) => h(type, props, ...children.map(shown)));
