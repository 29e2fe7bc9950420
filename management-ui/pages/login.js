import { beginSession, call, endedBecause, Form, html, useSignal } from '../ui.js';

const FIELDS = [
	{ name: 'username', label: 'User', required: true, autocomplete: 'username', autofocus: true, wide: true },
	{ name: 'password', kind: 'password', label: 'Password', required: true, autocomplete: 'current-password', wide: true },
];

export function Login() {
	const ended = useSignal(endedBecause);
	const send = async (body) => {
		try {
			beginSession(await call('POST', 'login', { login: true, body }));
		} catch (e) {
			throw e.status === 401 ? new Error(`The server refused: ${e.message === 'Login failed' ? 'wrong name or password' : e.message}`) : e;
		}
	};
	return html`<main class="login"><div class="card"><${Form} keep submit="Log in" onSubmit=${send} fields=${FIELDS}>
		<div class="brand"><img src="favicon.svg" alt="" /><h1>Leveret</h1></div>${ended && html`<p class="muted" role="status">${ended}</p>`}<//></div></main>`;
}
