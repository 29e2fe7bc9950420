import { html, useState } from '../lib/html.js';
import { del, path, put } from '../lib/api.js';
import { meaning, parseArguments } from '../lib/arguments.js';
import { usePoll } from '../lib/poll.js';
import { useSignal } from '../lib/signal.js';
import { vhost, within } from '../lib/vhost.js';
import { confirm } from '../components/confirm.js';
import { FormDialog } from '../components/form.js';
import { Icon } from '../components/icon.js';
import { Empty, Loaded } from '../components/state.js';
import { Table } from '../components/table.js';
import { toast } from '../components/toast.js';
import { useVhostField } from '../components/vhost-field.js';

const asLines = (definition) => Object.entries(definition ?? {}).map(([k, v]) => `${k}=${typeof v === 'string' ? v : JSON.stringify(v)}`).join('\n');

/** @param {{old?: any, onClose: () => void, onDone: () => void}} props */
function Edit({ old, onClose, onDone }) {
  const vhostField = useVhostField();
  const save = async (v) => {
    const at = old ? { vhost: old.vhost, name: old.name } : v;
    await put(`policies/${path(at.vhost, at.name)}`, { pattern: v.pattern, definition: parseArguments(v.definition), priority: v.priority ?? 0, 'apply-to': v.apply });
    toast(`Policy ${at.name} is set.`);
    onDone();
  };
  return html`<${FormDialog} title=${old ? `Policy ${old.name}` : 'New policy'} submit="Save" onSubmit=${save} onClose=${onClose} fields=${[
    ...(old ? [] : [vhostField, { name: 'name', label: 'Name', required: true, wide: true }]),
    { name: 'pattern', label: 'Pattern of names', required: true, wide: true, mono: true, value: old?.pattern ?? '^', hint: 'A regular expression; ^ matches all.' },
    { name: 'apply', label: 'Applies to', kind: 'select', value: old?.['apply-to'] ?? 'queues', options: ['queues', 'exchanges', 'all', 'classic_queues', 'quorum_queues', 'streams'] },
    { name: 'priority', label: 'Priority', kind: 'number', value: old?.priority ?? 0 },
    { name: 'definition', label: 'Definition', kind: 'textarea', wide: true, mono: true, rows: 4, value: asLines(old?.definition), placeholder: 'message-ttl=60000\ndead-letter-exchange=dead', required: true, hint: 'One key=value a line.' },
  ]} />`;
}

export default function Policies() {
  const chosen = useSignal(vhost);
  const poll = usePoll(within('policies', chosen), undefined, 15_000);
  const [editing, edit] = useState(/** @type {{old?: any} | null} */ (null));
  /** @type {import('../components/table.js').Column[]} */
  const columns = [
    { key: 'name', label: 'Policy', sort: 'name', class: 'name', draw: (p) => html`<button class="link" onClick=${() => edit({ old: p })}>${p.name}</button>` },
    { key: 'vhost', label: 'Virtual host', sort: 'vhost', prio: 3 },
    { key: 'pattern', label: 'Pattern', sort: 'pattern', draw: (p) => html`<code>${p.pattern}</code>` },
    { key: 'apply-to', label: 'Applies to', sort: 'apply-to', prio: 2 },
    { key: 'priority', label: 'Priority', num: true, sort: 'priority', prio: 2 },
    { key: 'definition', label: 'Sets', draw: (p) => Object.entries(p.definition).map(([k, v]) => html`<div key=${k} title=${meaning(k, v)}><code>${k}=${typeof v === 'string' ? v : JSON.stringify(v)}</code></div>`) },
    { key: 'act', label: '', class: 'act', draw: (p) => html`<button class="small danger" aria-label="Delete policy ${p.name}" onClick=${() => confirm({ title: `Delete the policy ${p.name}?`, says: `Queues and exchanges in ${p.vhost} that match ${p.pattern} lose: ${Object.keys(p.definition).join(', ')}.`, act: 'Delete', run: () => del(`policies/${path(p.vhost, p.name)}`), done: `Policy ${p.name} is deleted.`, after: poll.refresh })}>Delete</button>` },
  ];
  return html`
    <div class="head"><h1>Policies</h1><span class="spacer" /><button class="primary" onClick=${() => edit({})}><${Icon} name="plus" />New policy</button></div>
    <section class="card"><${Loaded} of=${poll}>${(all) => (all.length
      ? html`<${Table} label="Policies" columns=${columns} rows=${all} id=${(p) => `${p.vhost}\n${p.name}`} />`
      : html`<${Empty} title="No policy">A policy sets limits, expiry or dead lettering for all queues whose name matches, without declaring them anew.<//>`)}<//></section>
    ${editing && html`<${Edit} old=${editing.old} onClose=${() => edit(null)} onDone=${poll.refresh} />`}`;
}
