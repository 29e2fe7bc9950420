// What the checks share: their list, waiting, and the line to the runner.
const assert = require('node:assert/strict');
const { createInterface } = require('node:readline');

const LIMIT_MS = 90_000;
const checks = [];
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const sleep = ms => new Promise(later => setTimeout(later, ms));

exports.url = process.env.AMQP_URL;
exports.sleep = sleep;
exports.check = (name, act) => checks.push([name, act]);

exports.waitFor = async (condition, what) => {
  const late = Date.now() + LIMIT_MS;
  while (!(await condition())) {
    assert(Date.now() < late, `still not: ${what()}`);
    await sleep(20);
  }
};

/** Has the broker killed or started. */
exports.broker = async what => {
  console.log(`broker ${what}`);
  assert.equal((await answers.next()).value, 'done');
};

exports.runChecks = async wanted => {
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
};
