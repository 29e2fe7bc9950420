import { html } from '../lib/html.js';

/** Line icons on a 16 px grid. */
const PATHS = /** @type {Record<string, string>} */ ({
  overview: 'M2 13V8m4 5V3m4 10V6m4 7V10',
  queues: 'M2 3.500h12M2 8h12M2 12.500h8',
  exchanges: 'M2 5h9m-3-3 3 3-3 3M14 11H5m3-3-3 3 3 3',
  connections: 'M6 10 10 6M4.500 8 3 9.500a2.500 2.500 0 0 0 3.500 3.500L8 11.500M8 4.500 9.500 3A2.500 2.500 0 0 1 13 6.500L11.500 8',
  channels: 'M2 5c3 0 3 6 6 6s3-6 6-6M2 11c3 0 3-6 6-6s3 6 6 6',
  topology: 'M5 4.500h4a2 2 0 0 1 2 2v1M5 4.500a1.500 1.500 0 1 1-3 0 1.500 1.500 0 0 1 3 0Zm0 7a1.500 1.500 0 1 1-3 0 1.500 1.500 0 0 1 3 0Zm0 0h4a2 2 0 0 0 2-2V9m2.500-.750a1.750 1.750 0 1 1-3.500 0 1.750 1.750 0 0 1 3.500 0Z',
  policies: 'M4 1.500h5.500L13 5v9.500H4zM6.500 7.500h4M6.500 10.500h4',
  users: 'M8 8a3 3 0 1 0 0-6 3 3 0 0 0 0 6Zm-5.500 6.500c0-3 2.500-4.500 5.500-4.500s5.500 1.500 5.500 4.500',
  vhosts: 'M2 2.500h12v4.500H2zM2 9h12v4.500H2zM4.500 4.750h.010M4.500 11.250h.010',
  definitions: 'M8 2v8m-3-3 3 3 3-3M2.500 11v2.500h11V11',
  menu: 'M2 4h12M2 8h12M2 12h12',
  fold: 'M10 3 5 8l5 5',
  unfold: 'm6 3 5 5-5 5',
  close: 'm4 4 8 8m0-8-8 8',
  ok: 'M8 14.500a6.500 6.500 0 1 0 0-13 6.500 6.500 0 0 0 0 13ZM5 8.200l2.200 2.200L11 6',
  warn: 'M8 2 1.500 13.500h13zM8 6.500v3.500m0 2v.010',
  bad: 'M5.300 1.500h5.400l3.800 3.800v5.400l-3.800 3.800H5.300l-3.800-3.800V5.300zM8 4.500v4.500m0 2v.010',
  help: 'M8 14.500a6.500 6.500 0 1 0 0-13 6.500 6.500 0 0 0 0 13ZM6 6.300C6 5 7 4.500 8 4.500s2 .600 2 1.700c0 1.400-2 1.500-2 3m0 2v.010',
  logout: 'M6 2.500H3v11h3M7 8h7m-3-3 3 3-3 3',
  plus: 'M8 3v10M3 8h10',
});

/** @param {{name: string, size?: number, class?: string}} props */
export const Icon = ({ name, size = 16, class: extra }) => html`
  <svg class=${extra} width=${size} height=${size} viewBox="0 0 16 16" fill="none" stroke="currentColor" stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d=${PATHS[name]} /></svg>`;
