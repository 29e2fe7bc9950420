import { beginSession, call, endedBecause, Field, html, Problem, useSignal, useState, values } from '../ui.js';

export function Login() {
	const ended = useSignal(endedBecause);
	const [error, setError] = useState(null);
	const [busy, setBusy] = useState(false);
	const send = async (event) => {
		event.preventDefault();
		const { name, password } = values(event.currentTarget);
		setBusy(true);
		setError(null);
		try {
			beginSession(await call('POST', 'login', { login: true, body: { username: name, password } }));
		} catch (e) {
			setError(e.status === 401 ? new Error(`The server refused: ${e.message === 'Login failed' ? 'wrong name or password' : e.message}`) : e);
			setBusy(false);
		}
	};
	return html`
		<main class="login">
			<form class="card" onSubmit=${send}>
				<div class="brand"><img src="favicon.svg" alt="" /><h1>Leveret</h1></div>
				${ended && !error && html`<p class="muted" role="status">${ended}</p>`}
				<${Field} name="name" label="User" required autocomplete="username" autofocus />
				<${Field} name="password" kind="password" label="Password" required autocomplete="current-password" />
				<${Problem} error=${error} />
				<button class="primary" disabled=${busy}>Log in</button>
			</form>
		</main>`;
}
