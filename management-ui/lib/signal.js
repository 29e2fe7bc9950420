// A value that components can watch, for the few things that the whole page shares.
import { useState, useEffect } from './html.js';

export function signal(initial) {
	let value = initial;
	const watchers = new Set();
	return {
		get: () => value,
		set(next) {
			if (Object.is(next, value)) return;
			value = next;
			for (const watch of [...watchers]) watch(next);
		},
		watch(watch) {
			watchers.add(watch);
			return () => { watchers.delete(watch); };
		},
	};
}

export function useSignal(source) {
	const [value, set] = useState(source.get());
	useEffect(() => {
		set(source.get());
		return source.watch(set);
	}, [source]);
	return value;
}
