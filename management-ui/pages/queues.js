import { DeclareHead, DURABLE, Empty, html, List, publishSnippet, QUEUE_COLUMNS, queueId, recordQueue, usePast, useWithin } from '../ui.js';

const FIELDS = [DURABLE, { name: 'auto_delete', label: 'Auto-delete', kind: 'checkbox', hint: 'Deleted with its last consumer.' }];

export default function Queues() {
	const where = useWithin('queues');
	return html`
		<${DeclareHead} title="Queues" kind="queue" label="Declare a queue" fields=${FIELDS} example=${'x-message-ttl=60000\nx-dead-letter-exchange=dead'} />
		<${List} id="queues" what="queues" where=${where} columns=${QUEUE_COLUMNS} rowId=${queueId} sort="name" past=${usePast}
			onRows=${(rows) => rows.forEach(recordQueue)}
			empty=${html`<${Empty} title="No queue yet" code=${publishSnippet('', 'hello')}>Clients declare queues; so can you, with the button above. This declares one and publishes to it:<//>`} />`;
}
