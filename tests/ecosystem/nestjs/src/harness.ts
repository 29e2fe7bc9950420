/** What the checks share: their list, waiting, and the line to the runner. */
import 'reflect-metadata';
import { strict as assert } from 'node:assert';
import { createInterface } from 'node:readline';

export const url = process.env.AMQP_URL!;
const LIMIT_MS = 90_000;

type Check = [name: string, act: () => Promise<void>];
const checks: Check[] = [];

export function check(name: string, act: () => Promise<void>) {
  checks.push([name, act]);
}

export async function waitFor(condition: () => boolean | Promise<boolean>, what: () => string) {
  const late = Date.now() + LIMIT_MS;
  while (!(await condition())) {
    assert(Date.now() < late, `still not: ${what()}`);
    await new Promise(later => setTimeout(later, 20));
  }
}

const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Has the broker killed or started. */
export async function broker(what: 'kill' | 'start') {
  console.log(`broker ${what}`);
  assert.equal((await answers.next()).value, 'done');
}

/** What the management API says of a queue; `undefined` if there is none. */
export async function queue(name: string): Promise<any> {
  const found = await fetch(`${process.env.HTTP_URL}/api/queues/%2F/${name}`, { headers: { authorization: `Basic ${btoa('guest:guest')}` } });
  return found.status === 404 ? undefined : found.json();
}

export async function runChecks(wanted: string[]) {
  for (const [name, act] of checks) {
    if (wanted.length && !wanted.includes(name)) continue;
    try {
      await act();
      console.log(`ok ${name}`);
    } catch (why) {
      console.log(why instanceof Error ? why.stack : why);
      console.log(`FAIL ${name}: ${String(why).split('\n')[0]}`);
    }
  }
}
