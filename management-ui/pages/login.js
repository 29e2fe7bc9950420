import { call, endedBecause, endSession, Field, html, keepSession, Problem, setCredentials, user, useSignal, useState, values } from '../ui.js';

export function Login() {
	const ended = useSignal(endedBecause);
	const [error, setError] = useState(/** @type {any} */ (null));
	const [busy, setBusy] = useState(false);
	const send = async (event) => {
		event.preventDefault();
		const { name, password } = values(event.currentTarget);
		setBusy(true);
		setError(null);
		try {
			setCredentials(name, password);
			const who = await call('GET', 'whoami', { login: true });
			keepSession();
			endedBecause.set('');
			user.set({ name: who.name, tags: [who.tags].flat().flatMap((t) => t.split(',')) });
		} catch (e) {
			const failed = /** @type {any} */ (e);
			endSession();
			setError(failed.status === 401 ? new Error(`The server refused: ${failed.message === 'Login failed' ? 'wrong name or password, or this user may not use the dashboard' : failed.message}`) : failed);
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
