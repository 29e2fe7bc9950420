// Limits set on a virtual host or a user: an empty field is no limit.
import { del, path, put } from '../lib.js';
import { toast } from './toast.js';

export const limitFields = (limits, old) => limits.map((name) => ({ name, label: `Max ${name.slice(4)}`, kind: 'number', min: 0, value: old?.[name], hint: 'Empty: no limit.', wide: limits.includes('max-queues') }));

/** @param {string} kind `vhost-limits` or `user-limits` @param {string} of whose */
export async function setLimits(kind, of, old, values) {
	for (const [limit, value] of Object.entries(values)) {
		const where = `${kind}/${path(of, limit)}`;
		if (value !== undefined) await put(where, { value });
		else if (old?.[limit] !== undefined) await del(where);
	}
	toast(`Limits of ${of} are set.`);
}
