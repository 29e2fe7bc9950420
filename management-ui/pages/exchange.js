import { Arguments, Bindings, confirm, count, del, Delayed, Empty, exchangeName, Facts, go, Graph, html, Missing, path, plural, Publish, publishSnippet, Skeleton, usePoll, useState } from '../ui.js';

export default function Exchange({ parts: [vhost, name] }) {
	// The default exchange has no name; the API knows it as amq.default, and lists its implicit bindings under the queues.
	const at = `exchanges/${path(vhost, name || 'amq.default')}`;
	const [publishing, setPublishing] = useState(false);
	const poll = usePoll(at, undefined, 5000);
	const outgoing = usePoll(name ? `${at}/bindings/source` : null, undefined, 15_000);
	const incoming = usePoll(name ? `${at}/bindings/destination` : null, undefined, 15_000);
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
		<div class="head"><h1>${shown}</h1><span class="muted">${x.type} exchange in ${vhost}</span><span class="spacer" />
			<div class="row actions">${!x.internal && html`<button class="primary" onClick=${() => setPublishing(true)}>Publish</button>`}${!predeclared && html`<button class="danger" onClick=${remove}>Delete</button>`}</div></div>
		<section class="card" aria-label="Now"><${Facts} facts=${[
			['Type', x.type], ['Durable', x.durable ? 'yes' : 'no'], ['Auto-delete', x.auto_delete ? 'yes' : 'no'], ['Internal', x.internal ? 'yes' : 'no'],
			x.messages_delayed === undefined ? null : ['Delayed', count(x.messages_delayed), 'Messages that wait for their time'],
		]} /></section>
		${name === '' ? html`<section class="card"><${Empty} title="Bound to every queue by its name" code=${publishSnippet('', 'hello')}>A message published here goes to the queue that its routing key names.<//></section>` : html`
			<section class="card"><header><h2>Where messages go</h2></header>
				${outgoing.data && incoming.data ? (outgoing.data.length + incoming.data.length
					? html`<${Graph} bindings=${[...incoming.data, ...outgoing.data]} name=${vhost} here=${name} />`
					: html`<${Empty} title="Nothing is bound to ${name}">Messages published here reach no queue. Bind a queue below.<//>`) : html`<${Skeleton} lines=${3} />`}
			</section>
			<div class="two"><${Bindings} poll=${outgoing} vhost=${vhost} source=${name} />
				<section class="card"><header><h2>Arguments and policy</h2></header><${Arguments} of=${x} where="exchanges" /></section></div>`}
		${x.type === 'x-delayed-message' && html`<${Delayed} vhost=${vhost} exchange=${name} />`}
		${publishing && html`<${Publish} vhost=${vhost} exchange=${name} onClose=${() => setPublishing(false)} onDone=${poll.refresh} />`}`;
}
