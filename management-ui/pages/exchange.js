import { Arguments, Asks, Bindings, Card, del, Delayed, Empty, exchangeName, Facts, go, Graph, Head, html, Missing, Opens, path, plural, Publish, publishSnippet, Skeleton, usePoll, yes } from '../ui.js';

export default function Exchange({ parts: [vhost, name] }) {
	// The API calls the default exchange amq.default, and lists its bindings under the queues.
	const at = `exchanges/${path(vhost, name || 'amq.default')}`;
	const poll = usePoll(at, 5000);
	const outgoing = usePoll(name ? `${at}/bindings/source` : null, 15_000);
	const incoming = usePoll(name ? `${at}/bindings/destination` : null, 15_000);
	const x = poll.data;
	const shown = exchangeName(name);
	if (!x) {
		return html`<${Missing} title=${shown} error=${poll.error} gone=${`There is no exchange ${shown} in the virtual host ${vhost}.`} all="exchanges" />`;
	}
	const predeclared = name === '' || name.startsWith('amq.');
	return html`
		<${Head} title=${shown} note="${x.type} exchange in ${vhost}" actions=${html`
			${!x.internal && html`<${Opens} class="primary" label="Publish" of=${(close) => html`<${Publish} vhost=${vhost} exchange=${name} onClose=${close} onDone=${poll.refresh} />`} />`}${!predeclared && html`<${Asks} act="Delete" title="Delete ${name}?" run=${() => del(at)} done="${name} is deleted." after=${() => go(['exchanges'])}
				says="Deletes ${name} in ${vhost} and its ${plural((outgoing.data?.length ?? 0) + (incoming.data?.length ?? 0), 'binding')}; publishing to it then closes the publisher's channel. This cannot be undone." />`}`} />
		${name === '' ? html`<${Card}><${Empty} title="Bound to every queue by its name" of=${vhost} code=${publishSnippet('', 'hello')}>A message published here goes to the queue that its routing key names.<//><//>` : html`
			<${Card} title="Where messages go">
				${outgoing.data && incoming.data ? (outgoing.data.length + incoming.data.length
					? html`<${Graph} bindings=${[...incoming.data, ...outgoing.data]} name=${vhost} here=${name} />`
					: html`<${Empty} title="Nothing is bound to ${name}">Messages published here reach no queue. Bind a queue below.<//>`) : html`<${Skeleton} lines=${3} />`}
			<//>
			<div class="two"><${Bindings} poll=${outgoing} vhost=${vhost} source=${name} />
				<${Card} title="Arguments and policy"><${Arguments} of=${x} where="exchanges" />
					<${Facts} small facts=${[['Durable', yes(x.durable)], ['Auto-delete', yes(x.auto_delete)], ['Internal', yes(x.internal)]]} /><//></div>`}
		${x.type === 'x-delayed-message' && html`<${Delayed} vhost=${vhost} exchange=${name} />`}`;
}
