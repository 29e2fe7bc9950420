// What a channel looks like in any table.
import { count, html, link, named, number, plain, VHOST } from '../lib.js';
import { Tags } from './card.js';

export const CHANNEL_COLUMNS = [
	named('Channel', (c) => html`<a href=${link(['connection', c.connection_details?.name ?? ''])}>${c.name}</a>`),
	plain('user', 'User', { prio: 2 }),
	VHOST,
	{ key: 'mode', label: 'Mode', prio: 3, draw: (c) => html`<${Tags} of=${[c.confirm && ['confirms', 'Publisher confirms'], c.transactional && ['tx', 'Transactions']]} />` },
	number('prefetch', 'Prefetch', 'prefetch_count', (n) => (n ? count(n) : 'none'), { prio: 2 }),
	number('unacked', 'Unacked', 'messages_unacknowledged'),
	number('consumers', 'Consumers', 'consumer_count', count, { prio: 3 }),
];
