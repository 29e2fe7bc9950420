// Runs the scenarios named on the command line, one line each: `ok NAME`, or `FAIL NAME: why`.

export const url = process.env.AMQP_URL;
export const wrongUrl = url.replace('guest:guest@', 'guest:wrong@');
export const prefix = `node${process.pid}.`;
export const big = Buffer.alloc(20_000_000, 'leveret 0123456789');

let number = 0;
export const name = () => `${prefix}${number++}`;

export function check(holds, ...what) {
  if (!holds) throw new Error(`not as expected: ${JSON.stringify(what)}`);
}

/** The error with which something is refused. */
export async function refused(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error('it was not refused');
}

function limit(ms) {
  return new Promise((_, reject) => setTimeout(() => reject(new Error('it takes too long')), ms).unref());
}

export async function run(scenarios) {
  let failed = 0;
  for (const wanted of process.argv.slice(2)) {
    const work = scenarios[wanted];
    if (!work) {
      console.log(`none ${wanted}`);
      continue;
    }
    try {
      await Promise.race([work(), limit(600_000)]);
      console.log(`ok ${wanted}`);
    } catch (error) {
      failed = 1;
      console.error(error);
      console.log(`FAIL ${wanted}: ${String(error).replaceAll('\n', ' ')}`);
    }
  }
  process.exit(failed);
}
