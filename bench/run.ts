import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { softHsmToken } from "../dev/softhsm.ts";
import { type Bench, CONNECTIONS, SESSIONS, type Section, type SectionResult } from "./bench.ts";
import { chart } from "./measure/chart.ts";
import { describeMachine, type Report } from "./measure/report.ts";
import { explanations, findingTable, rateTable } from "./measure/table.ts";
import { type Options, readOptions } from "./options.ts";
import { profile } from "./profile.ts";
import { beside } from "./sections/beside.ts";
import { large } from "./sections/large.ts";
import { latency } from "./sections/latency.ts";
import { million } from "./sections/million.ts";
import { simulator } from "./sections/simulator.ts";
import { start } from "./sections/start.ts";
import { throughput } from "./sections/throughput.ts";

/** `npm run bench`: what bench/README.md describes, in one run. */

/** In the order in which they run. */
const SECTIONS: Readonly<Record<string, Section>> = {
  throughput,
  simulator,
  large,
  beside,
  latency,
  start,
  million,
};
const OUT = new URL("out/", import.meta.url);

async function main(): Promise<void> {
  if (process.platform !== "linux") throw new Error("Cannot measure: what processes take is read in /proc");
  const options = readOptions(process.argv.slice(2), Object.keys(SECTIONS));
  const directory = temporaryDirectory();
  const tell = (text: string): void => void process.stderr.write(`${text}\n`);
  const bench: Bench = { options, directory, token: softHsmToken(directory), tell };
  mkdirSync(OUT, { recursive: true });
  if (options.profile) process.stdout.write(await profile(bench, OUT));
  else write(await measure(bench), options);
}

/** Gone when the process is, however it ends: a key is in it, if one that protects nothing. */
function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "hsm-signer-bench-"));
  process.on("exit", () => rmSync(directory, { recursive: true, force: true }));
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));
  return directory;
}

async function measure(bench: Bench): Promise<Report> {
  const { only, command, rounds, measureMs, warmUpMs, signatures, settings } = bench.options;
  const [machine, date] = [describeMachine(), new Date().toISOString()];
  const results: SectionResult[] = [];
  for (const [name, section] of Object.entries(SECTIONS)) {
    if (only.length === 0 || only.includes(name)) results.push(await section(bench));
  }
  return {
    command,
    date,
    machine,
    settings: {
      sessions: SESSIONS,
      connections: CONNECTIONS,
      rounds,
      measureMs,
      warmUpMs,
      signatures,
      ...settings,
    },
    findings: results.flatMap(({ findings }) => findings),
    tables: Object.assign({}, ...results.map(({ tables }) => tables)),
  };
}

function write(report: Report, { isWhole }: Options): void {
  const { findings, tables } = report;
  for (const [title, rows] of Object.entries(tables)) process.stdout.write(`${rateTable(title, rows)}\n`);
  process.stdout.write(`${findingTable("Figures", findings)}\n${explanations(findings)}`);
  // Only a whole run is worth keeping.
  const place = isWhole ? new URL(".", import.meta.url) : OUT;
  writeFileSync(new URL("results.json", place), `${JSON.stringify(report, undefined, 2)}\n`);
  writeFileSync(new URL("results.svg", place), chart(report));
}

await main();
