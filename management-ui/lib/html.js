// The one place that knows which rendering library is used.
import { h, render } from '../vendor/preact.js';
import htm from '../vendor/htm.js';
export { useState, useEffect, useRef, useMemo } from '../vendor/preact-hooks.js';
export { render };
export const html = htm.bind(h);
