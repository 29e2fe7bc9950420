import { usePoll, vhost } from '../lib.js';

/** The form field that says in which virtual host. @returns {FieldSpec} */
export function useVhostField() {
	const { data } = usePoll('vhosts', 0);
	const names = (data ?? [{ name: vhost.get() || '/' }]).map((v) => v.name);
	return { name: 'vhost', label: 'Virtual host', kind: 'select', options: names, value: vhost.get() || (names.includes('/') ? '/' : names[0]), wide: true };
}
