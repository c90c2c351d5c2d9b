import { execFileSync } from "node:child_process";
import { delimiter, dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { PROJECT } from "../../dev/service_process.ts";
import { type Bench, type SectionResult, withService } from "../bench.ts";
import { type Finding, finding, rounded } from "../measure/finding.ts";
import { measureInTurns, median } from "../measure/rounds.ts";

/** From the start of the process to the first `GET /readyz` that is answered with 200. */

const ALGORITHM = "RSA-2048";
const LIMIT_S = 1;
const LOOK_EVERY_MS = 2;

export async function start(bench: Bench): Promise<SectionResult> {
  // What makes the key and the certificate, so that they are present.
  await withService(bench, { algorithm: ALGORITHM }, async () => {});
  const findings: Finding[] = [];
  for (const node of [process.execPath, bench.options.otherNode]) {
    if (node !== undefined) findings.push(await findingOf(bench, node));
  }
  return { findings };
}

async function findingOf(bench: Bench, node: string): Promise<Finding> {
  const version = execFileSync(node, ["--version"], { encoding: "utf8" }).trim();
  const found = await measureInTurns(
    { ready: () => secondsToReady(bench, node), bare: () => secondsOfNode(node) },
    bench.options.rounds,
    (text) => bench.tell(`start, Node ${version}, ${text}`),
  );
  return finding({
    figure: `Start to ready, Node ${version}`,
    value: median(found.ready),
    unit: "s",
    target: { atMost: LIMIT_S },
    how:
      `bin/hsm-signer serve with key and certificate present, from spawn to GET /readyz 200; ` +
      `${rounded(Math.min(...found.ready))} to ${rounded(Math.max(...found.ready))} s`,
    bound: `loading the sources: Node that does nothing takes ${rounded(median(found.bare))} s`,
  });
}

async function secondsToReady(bench: Bench, node: string): Promise<number> {
  const command = [join(PROJECT, "bin/hsm-signer"), "serve"];
  // The command takes the Node that it finds first.
  const environment = { PATH: [dirname(node), process.env["PATH"]].join(delimiter) };
  const begin = performance.now();
  return withService(bench, { algorithm: ALGORITHM, command, environment }, async ({ url }) => {
    while (!(await fetch(`${url}/readyz`)).ok) await delay(LOOK_EVERY_MS);
    return (performance.now() - begin) / 1_000;
  });
}

async function secondsOfNode(node: string): Promise<number> {
  const begin = performance.now();
  execFileSync(node, ["--eval", ""]);
  return (performance.now() - begin) / 1_000;
}
