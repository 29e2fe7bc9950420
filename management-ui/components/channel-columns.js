// What a channel looks like in any table.
import { count, html, link, rate, rateOf } from '../lib/index.js';

export const CHANNEL_COLUMNS = [
	{ key: 'name', label: 'Channel', sort: 'name', class: 'name', draw: (c) => html`<a href=${link(['connection', c.connection_details?.name ?? ''])}>${c.name}</a>` },
	{ key: 'user', label: 'User', sort: 'user', prio: 2 },
	{ key: 'vhost', label: 'Virtual host', sort: 'vhost', prio: 3, off: true },
	{ key: 'mode', label: 'Mode', prio: 3, draw: (c) => html`<span class="tags">${c.confirm && html`<span class="tag" title="Publisher confirms">confirms</span>`}${c.transactional && html`<span class="tag" title="Transactions">tx</span>`}</span>` },
	{ key: 'state', label: 'State', sort: 'state', prio: 3, off: true, draw: (c) => html`<span class="tag ${c.state === 'flow' ? 'warn' : ''}">${c.state}</span>` },
	{ key: 'prefetch', label: 'Prefetch', num: true, sort: 'prefetch_count', prio: 2, draw: (c) => (c.prefetch_count ? count(c.prefetch_count) : 'none') },
	{ key: 'unacked', label: 'Unacked', num: true, sort: 'messages_unacknowledged', draw: (c) => count(c.messages_unacknowledged) },
	{ key: 'unconfirmed', label: 'Unconfirmed', num: true, sort: 'messages_unconfirmed', prio: 3, draw: (c) => count(c.messages_unconfirmed) },
	{ key: 'consumers', label: 'Consumers', num: true, sort: 'consumer_count', prio: 3, draw: (c) => count(c.consumer_count) },
	{ key: 'in', label: 'Publishes', num: true, sort: 'message_stats.publish_details.rate', draw: (c) => rate(rateOf(c, 'publish')) },
	{ key: 'out', label: 'Gets', num: true, sort: 'message_stats.deliver_get_details.rate', prio: 2, draw: (c) => rate(rateOf(c, 'deliver_get')) },
	{ key: 'ack', label: 'Acks', num: true, sort: 'message_stats.ack_details.rate', prio: 3, draw: (c) => rate(rateOf(c, 'ack')) },
];
