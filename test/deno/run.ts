import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Tally } from "./node_test.ts";

/** The suite on Deno (`npm run test:deno`, `deno task test`): each file by `deno test`, in a process of its own. */

const PROJECT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const PROCESSES = 2;
const FILE_LIMIT_MS = 300_000;

const FLAGS: readonly string[] = [
  ...["--no-prompt", "--no-check", "--v8-flags=--expose-gc", "--import-map=test/deno/import_map.json"],
  // Test processes start programs and services; those have no more than the tasks of deno.json give them.
  ...[
    "--allow-read",
    "--allow-write",
    "--allow-env",
    "--allow-net",
    "--allow-sys",
    "--allow-run",
    "--allow-ffi",
  ],
];

/** Those that take longest, so that none of them is alone at the end. */
const FIRST: readonly string[] = [
  "test/proof/recovery.test.ts",
  "test/back_ends/cloudhsm_service.test.ts",
  "test/back_ends/softhsm_service.test.ts",
  "test/credential/assemble_chain.test.ts",
  "test/commands/doctor.test.ts",
  "test/audit/verify.test.ts",
];

interface FileResult {
  readonly file: string;
  readonly passed: boolean;
  readonly tests: number;
  readonly output: string;
  readonly seconds: number;
}

/** Named as in the script `test` of package.json: in `test` and in its folders. */
function testFiles(): readonly string[] {
  const names = readdirSync(join(PROJECT, "test"), { recursive: true, encoding: "utf8" });
  const files = names
    .filter((name) => /^([^/]+\/)?[^/]+\.test\.ts$/.test(name))
    .map((name) => `test/${name}`);
  for (const file of FIRST) {
    if (!files.includes(file)) throw new Error(`Cannot run the suite: there is no ${file}`);
  }
  const rank = (file: string): number => (FIRST.includes(file) ? FIRST.indexOf(file) : FIRST.length);
  return files.toSorted((a, b) => rank(a) - rank(b));
}

async function runFile(file: string): Promise<FileResult> {
  const start = performance.now();
  const child = spawn(process.execPath, ["test", ...FLAGS, file], {
    cwd: PROJECT,
    env: { ...process.env, NO_COLOR: "1" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const timer = setTimeout(() => child.kill("SIGKILL"), FILE_LIMIT_MS);
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
  }
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  clearTimeout(timer);
  const { tests, fault } = judge(code, output);
  const seconds = (performance.now() - start) / 1_000;
  return { file, passed: fault === undefined, tests, output: `${output}\n${fault ?? ""}`, seconds };
}

/** What Deno says, and whether it was all: a test that was declared and did not come to its end is a failure. */
function judge(code: number | null, output: string): { tests: number; fault?: string } {
  const [, text] = /^tally of node_test\.ts: (\{.*\})$/m.exec(output) ?? [];
  if (text === undefined) return { tests: 0, fault: `It ended with ${code}, and without counts.` };
  const { declared, finished, suites, entered }: Tally = JSON.parse(text);
  const tests = { tests: declared };
  if (code !== 0) return { ...tests, fault: `It ended with ${code}.` };
  if (declared === 0) return { ...tests, fault: "It has no tests." };
  if (declared !== finished)
    return { ...tests, fault: `Of ${declared} tests ${finished} came to their end.` };
  if (suites !== entered) return { ...tests, fault: `Of ${suites} suites ${entered} were entered.` };
  return /\d+ ignored/.test(output) ? { ...tests, fault: "A test was ignored." } : tests;
}

async function runAll(files: readonly string[]): Promise<readonly FileResult[]> {
  const results: FileResult[] = [];
  const queue = files.values();
  const worker = async (): Promise<void> => {
    for (const file of queue) {
      const result = await runFile(file);
      results.push(result);
      if (!result.passed) console.log(result.output);
      const verdict = result.passed ? "ok" : "not ok";
      console.log(`${verdict} ${result.file} # ${result.tests} tests, ${result.seconds.toFixed(1)} s`);
    }
  };
  await Promise.all(Array.from({ length: PROCESSES }, worker));
  return results;
}

const given = process.argv.slice(2);
const start = performance.now();
const results = await runAll(given.length > 0 ? given : testFiles());
const failed = results.filter(({ passed }) => !passed);
// Once more at the end, which is what is looked at first: what failed, and why, without the tests that passed.
for (const { file, output } of failed)
  console.log(`# failed: ${file}\n${output.slice(Math.max(output.indexOf("\n ERRORS"), 0))}`);
const total = results.reduce((sum, { tests }) => sum + tests, 0);
// As Node's runner closes.
console.log(`# tests ${total}\n# files ${results.length}\n# failed files ${failed.length}`);
console.log(`# skipped 0\n# todo 0\n# duration_ms ${Math.round(performance.now() - start)}`);
process.exit(failed.length === 0 ? 0 : 1);
