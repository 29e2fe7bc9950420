// All of lib/, for those above it.
export * from './lib/api.js';
export * from './lib/arguments.js';
export * from './lib/attention.js';
export * from './lib/flow.js';
export * from './lib/format.js';
export * from './lib/html.js';
export * from './lib/layout.js';
export * from './lib/poll.js';
export * from './lib/prefs.js';
export * from './lib/route.js';
export * from './lib/samples.js';
export * from './lib/session.js';
export * from './lib/signal.js';
export * from './lib/snippets.js';
export * from './lib/vhost.js';
