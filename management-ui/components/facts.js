import { html, time, useEffect, useRef, utc } from '../lib.js';

/** A number that pulses once when it changed. @param {{value: any}} props */
export function Live({ value }) {
	const box = useRef(null);
	const before = useRef(value);
	useEffect(() => {
		if (before.current !== value && box.current) {
			box.current.classList.remove('pulse');
			// Reading a layout property restarts the animation.
			void box.current.offsetWidth;
			box.current.classList.add('pulse');
		}
		before.current = value;
	}, [value]);
	return html`<span ref=${box}>${value}</span>`;
}

/** Local time, and UTC on hover. @param {{at: any}} props */
export const Time = ({ at }) => html`<span class="nowrap" title=${utc(at)}>${time(at)}</span>`;

/** @param {FactsProps} props */
export const Facts = ({ facts, small }) => html`
	<dl class="facts ${small ? 'small' : ''}">${facts.filter(Boolean).map(([name, value, title]) => html`<div key=${name} title=${title}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
