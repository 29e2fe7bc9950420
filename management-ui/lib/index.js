// All of lib/, for those above it.
export * from './api.js';
export * from './arguments.js';
export * from './attention.js';
export * from './flow.js';
export * from './format.js';
export * from './html.js';
export * from './layout.js';
export * from './live.js';
export * from './poll.js';
export * from './prefs.js';
export * from './route.js';
export * from './samples.js';
export * from './session.js';
export * from './signal.js';
export * from './snippets.js';
export * from './vhost.js';
