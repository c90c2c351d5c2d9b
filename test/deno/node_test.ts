import * as real from "node:test";

/**
 * node:test as the test files see it on Deno (import_map.json). It counts what they declare and what of that came to
 * its end, and prints both when the file is done: so run.ts knows of tests that Deno's runner left out in silence.
 */

/** Counts of one file. */
export interface Tally {
  /** Tests, and those of them whose body came to its end. */
  declared: number;
  finished: number;
  /** Suites, and those of them whose body was run. */
  suites: number;
  entered: number;
}

/** What the tally stands behind, on a line of its own. */
export const TALLY_MARK = "tally of node_test.ts: ";

type Body = (...args: readonly unknown[]) => unknown;
type Register = (name: string, ...rest: unknown[]) => unknown;

const tally: Tally = { declared: 0, finished: 0, suites: 0, entered: 0 };

const countedTest: Register = (name, ...rest) => {
  tally.declared += 1;
  const body: Body = async (...args) => {
    await bodyOf(rest)(...args);
    tally.finished += 1;
  };
  return (real.test as Register)(name, ...rest.slice(0, -1), body);
};

const countedSuite: Register = (name, ...rest) => {
  tally.suites += 1;
  const body: Body = (...args) => {
    tally.entered += 1;
    return bodyOf(rest)(...args);
  };
  return (real.describe as Register)(name, ...rest.slice(0, -1), body);
};

function bodyOf(rest: readonly unknown[]): Body {
  return rest.at(-1) as Body;
}

export const test: typeof real.test = countedTest as typeof real.test;
export const it: typeof real.it = countedTest as typeof real.it;
export const describe: typeof real.describe = countedSuite as typeof real.describe;
export const before: typeof real.before = real.before;
export const after: typeof real.after = real.after;
export const beforeEach: typeof real.beforeEach = real.beforeEach;
export const afterEach: typeof real.afterEach = real.afterEach;
export const mock: typeof real.mock = real.mock;

globalThis.addEventListener("unload", () => {
  console.log(TALLY_MARK + JSON.stringify(tally));
  // `deno test` has no such event of its own; directories and processes are cleared away at it.
  process.emit("exit", 0);
});
