import { Arguments, Bindings, Card, confirm, count, del, Delayed, Empty, exchangeName, Facts, go, Graph, Head, html, Missing, Opens, path, plural, Publish, publishSnippet, Skeleton, usePoll } from '../ui.js';

export default function Exchange({ parts: [vhost, name] }) {
	// The default exchange has no name; the API knows it as amq.default, and lists its implicit bindings under the queues.
	const at = `exchanges/${path(vhost, name || 'amq.default')}`;
	const poll = usePoll(at, 5000);
	const outgoing = usePoll(name ? `${at}/bindings/source` : null, 15_000);
	const incoming = usePoll(name ? `${at}/bindings/destination` : null, 15_000);
	const x = poll.data;
	const shown = exchangeName(name);
	if (!x) {
		return html`<${Missing} title=${shown} error=${poll.error} gone=${`There is no exchange ${shown} in the virtual host ${vhost}.`} all="exchanges" />`;
	}
	const remove = () => confirm({
		title: `Delete ${name}?`,
		says: `The exchange ${name} (virtual host ${vhost}) goes, with ${plural((outgoing.data?.length ?? 0) + (incoming.data?.length ?? 0), 'binding')}. Publishing to it will close the publisher's channel.`,
		act: 'Delete',
		run: () => del(at),
		done: `${name} is deleted.`,
		after: () => go(['exchanges']),
	});
	const predeclared = name === '' || name.startsWith('amq.');
	return html`
		<${Head} title=${shown} note="${x.type} exchange in ${vhost}" actions=${html`
			${!x.internal && html`<${Opens} class="primary" label="Publish" of=${(close) => html`<${Publish} vhost=${vhost} exchange=${name} onClose=${close} onDone=${poll.refresh} />`} />`}${!predeclared && html`<button class="danger" onClick=${remove}>Delete</button>`}`} />
		<${Card} label="Now"><${Facts} facts=${[
			['Type', x.type], ['Durable', x.durable ? 'yes' : 'no'], ['Auto-delete', x.auto_delete ? 'yes' : 'no'], ['Internal', x.internal ? 'yes' : 'no'],
			x.messages_delayed === undefined ? null : ['Delayed', count(x.messages_delayed), 'Messages that wait for their time'],
		]} /><//>
		${name === '' ? html`<${Card}><${Empty} title="Bound to every queue by its name" code=${publishSnippet('', 'hello')}>A message published here goes to the queue that its routing key names.<//><//>` : html`
			<${Card} title="Where messages go">
				${outgoing.data && incoming.data ? (outgoing.data.length + incoming.data.length
					? html`<${Graph} bindings=${[...incoming.data, ...outgoing.data]} name=${vhost} here=${name} />`
					: html`<${Empty} title="Nothing is bound to ${name}">Messages published here reach no queue. Bind a queue below.<//>`) : html`<${Skeleton} lines=${3} />`}
			<//>
			<div class="two"><${Bindings} poll=${outgoing} vhost=${vhost} source=${name} />
				<${Card} title="Arguments and policy"><${Arguments} of=${x} where="exchanges" /><//></div>`}
		${x.type === 'x-delayed-message' && html`<${Delayed} vhost=${vhost} exchange=${name} />`}`;
}
