// The one place that knows which rendering library is used.
import { h, render, Fragment } from '../vendor/preact.js';
import htm from '../vendor/htm.js';
export { useState, useEffect, useLayoutEffect, useRef, useMemo, useCallback, useErrorBoundary } from '../vendor/preact-hooks.js';
export { render, Fragment };
export const html = htm.bind(h);
