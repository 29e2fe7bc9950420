// What a person chose on this machine: columns, folded navigation. Nothing secret.

const PREFIX = 'leveret.';

export function pref(key, otherwise) {
	try {
		const text = localStorage.getItem(PREFIX + key);
		return text === null ? otherwise : JSON.parse(text);
	} catch {
		return otherwise;
	}
}

export function setPref(key, value) {
	try {
		localStorage.setItem(PREFIX + key, JSON.stringify(value));
	} catch {
		// storage is full or forbidden: the choice lasts until reload
	}
}
