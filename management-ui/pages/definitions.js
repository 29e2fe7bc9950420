import { html, useState } from '../lib/html.js';
import { get, path, post } from '../lib/api.js';
import { plural } from '../lib/format.js';
import { isAdministrator } from '../lib/session.js';
import { useSignal } from '../lib/signal.js';
import { vhost } from '../lib/vhost.js';
import { Facts } from '../components/facts.js';
import { confirm } from '../components/confirm.js';
import { Problem } from '../components/state.js';

const KINDS = /** @type {[string, string][]} */ ([['vhosts', 'Virtual hosts'], ['users', 'Users'], ['permissions', 'Permissions'], ['topic_permissions', 'Topic permissions'], ['policies', 'Policies'], ['parameters', 'Parameters'], ['exchanges', 'Exchanges'], ['queues', 'Queues'], ['bindings', 'Bindings']]);

/** @param {string} name @param {unknown} what */
function download(name, what) {
  const url = URL.createObjectURL(new Blob([JSON.stringify(what, null, 2)], { type: 'application/json' }));
  const a = Object.assign(document.createElement('a'), { href: url, download: name });
  a.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** @param {{of: any}} props */
const Counts = ({ of: definitions }) => html`<${Facts} small facts=${KINDS.filter(([key]) => Array.isArray(definitions[key])).map(([key, label]) => [label, definitions[key].length])} />`;

export default function Definitions() {
  const chosen = useSignal(vhost);
  const [failed, fail] = useState(/** @type {any} */ (null));
  const [read, setRead] = useState(/** @type {{name: string, definitions: any} | null} */ (null));
  const where = chosen ? `definitions/${path(chosen)}` : 'definitions';
  const scope = chosen ? `the virtual host ${chosen}` : 'the whole broker';
  const save = async () => {
    fail(null);
    try {
      const definitions = await get(where);
      download(`definitions-${(chosen || location.hostname).replace(/[^\w.-]+/g, '_')}-${new Date().toISOString().slice(0, 10)}.json`, definitions);
    } catch (e) {
      fail(e);
    }
  };
  const open = async (e) => {
    fail(null);
    setRead(null);
    const file = e.currentTarget.files?.[0];
    if (!file) return;
    try {
      setRead({ name: file.name, definitions: JSON.parse(await file.text()) });
    } catch {
      fail(new Error(`${file.name} is not JSON.`));
    }
  };
  const bring = () => read && confirm({
    title: `Import ${read.name}?`,
    says: `${plural(KINDS.reduce((n, [key]) => n + (read.definitions[key]?.length ?? 0), 0), 'definition')} are added to ${scope}. What is already there and the same stays; users, permissions and policies of the same name are overwritten; nothing is removed.`,
    act: 'Import',
    run: () => post(where, read.definitions),
    done: `${read.name} is imported.`,
    after: () => setRead(null),
  });
  return html`
    <div class="head"><h1>Definitions</h1><span class="muted">of ${scope}</span></div>
    <${Problem} error=${failed} />
    <div class="two">
      <section class="card"><header><h2>Export</h2></header><div class="body stack"><p>Users, permissions, policies, exchanges, queues and bindings as one JSON file, without messages. It holds password hashes: keep it as you keep passwords.</p>
        <div class="row"><button class="primary" onClick=${save}>Download definitions</button></div></div></section>
      <section class="card"><header><h2>Import</h2></header><div class="body stack"><p>A file that was exported here or from RabbitMQ. You see what it holds before anything is done.</p>
        <div class="field"><label for="definitions-file">Definitions file (JSON)</label><input id="definitions-file" type="file" accept=".json,application/json" onChange=${open} disabled=${!isAdministrator() && !chosen} /></div>
        ${!isAdministrator() && !chosen && html`<p class="muted">Only an administrator may import for the whole broker. Choose a virtual host above.</p>`}
        ${read && html`<div class="card"><header><h3>${read.name}</h3></header><${Counts} of=${read.definitions} /></div><div class="row"><button class="primary" onClick=${bring}>Import</button></div>`}</div></section>
    </div>`;
}
