import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type ServiceProcess, startServiceProcess } from "../dev/service_process.ts";
import { type SoftHsmToken, softHsmToken } from "../dev/softhsm.ts";
import type { KeyAlgorithmName } from "../lib/algorithms.ts";
import { cpuMicros } from "./cpu_time.ts";
import { requireValidSamples } from "./judge.ts";
import type { LoadJob, LoadResult } from "./load.ts";
import type { RawLoopJob, RawLoopResult } from "./raw_loop.ts";
import { describeMachine, table, writeReport } from "./report.ts";
import type { RequestForm } from "./requests.ts";
import { type Figure, type Measurement, measureInTurns } from "./rounds.ts";
import { runJob } from "./worker.ts";

/** `npm run bench`: what bench/README.md describes, in one run. */

const SETTINGS = {
  sessions: 16,
  threads: 24,
  connections: 64,
  documentBytes: 20_000,
  warmUpMs: 1_000,
  ...readArguments(),
};
/** An answer in so many is kept and verified: some ten of a round at the rates of this machine's kind. */
const SAMPLE_EVERY = 997;
const ALGORITHMS: readonly KeyAlgorithmName[] = ["RSA-2048", "P-256"];

const RAW_LOOP = new URL("raw_loop.ts", import.meta.url);
const LOAD = new URL("load.ts", import.meta.url);

/** What the measurements of one algorithm have in common. */
interface Subject {
  readonly algorithm: KeyAlgorithmName;
  readonly directory: string;
  readonly token: SoftHsmToken;
  readonly service: ServiceProcess;
  readonly certificatePem: string;
}

function readArguments(): { rounds: number; measureMs: number } {
  const { values } = parseArgs({
    options: {
      rounds: { type: "string", default: "5" },
      seconds: { type: "string", default: "3" },
    },
  });
  return { rounds: Number(values.rounds), measureMs: Number(values.seconds) * 1_000 };
}

function commandLine(): string {
  const given = process.argv.slice(2);
  return ["npm run bench", ...(given.length > 0 ? ["--", ...given] : [])].join(" ");
}

async function main(): Promise<void> {
  const directory = temporaryDirectory();
  const token = softHsmToken(directory);
  const figures: Record<string, readonly Figure[]> = {};
  for (const algorithm of ALGORITHMS) {
    figures[algorithm] = await measureAlgorithm(algorithm, token, directory);
    process.stdout.write(`${table(algorithm, figures[algorithm])}\n`);
  }
  // Only a whole run is worth keeping.
  const isWhole = process.argv.length === 2;
  mkdirSync(new URL("out", import.meta.url), { recursive: true });
  writeReport(new URL(isWhole ? "results.json" : "out/results.json", import.meta.url), {
    command: commandLine(),
    date: new Date().toISOString(),
    machine: describeMachine(),
    settings: SETTINGS,
    figures,
  });
}

/** Gone when the process is, however it ends: a key is in it, if one that protects nothing. */
function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "hsm-signer-bench-"));
  process.on("exit", () => rmSync(directory, { recursive: true, force: true }));
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));
  return directory;
}

async function measureAlgorithm(
  algorithm: KeyAlgorithmName,
  token: SoftHsmToken,
  directory: string,
): Promise<readonly Figure[]> {
  const service = await startServiceProcess({
    environment: serviceSettings(algorithm, token, directory),
    onLine: showTrouble,
  });
  const certificate = await fetch(`${service.url}/certificate`);
  const subject = { algorithm, directory, token, service, certificatePem: await certificate.text() };
  try {
    return await measureInTurns(measurementsOf(subject), SETTINGS.rounds);
  } finally {
    await service.stop();
  }
}

/** What is not meant to happen while something is measured. */
function showTrouble(line: string): void {
  if (!line.includes('"level":"info"')) process.stderr.write(`${line}\n`);
}

/** The raw loop first: it is what the others are compared with. */
function measurementsOf(subject: Subject): readonly Measurement[] {
  return [
    { name: "raw loop of C_SignInit and C_Sign", round: () => rawLoop(subject) },
    { name: "service, { hash }", round: () => load(subject, "hash") },
    { name: "service, 20 kB as { encodedContents }", round: () => load(subject, "json") },
    { name: "service, 20 kB as raw body", round: () => load(subject, "raw") },
  ];
}

async function rawLoop(subject: Subject): ReturnType<Measurement["round"]> {
  const { algorithm, token, certificatePem } = subject;
  const job: RawLoopJob = {
    modulePath: token.modulePath,
    tokenLabel: token.label,
    pin: token.pin,
    keyLabel: algorithm,
    algorithm,
    certificatePem,
    sessions: SETTINGS.sessions,
    warmUpMs: SETTINGS.warmUpMs,
    measureMs: SETTINGS.measureMs,
  };
  const environment = { ...token.environment, UV_THREADPOOL_SIZE: String(SETTINGS.threads) };
  return runJob<RawLoopJob, RawLoopResult>(RAW_LOOP, job, environment);
}

async function load(subject: Subject, form: RequestForm): ReturnType<Measurement["round"]> {
  const { service, certificatePem, directory } = subject;
  const job: LoadJob = {
    host: new URL(service.url).hostname,
    port: Number(new URL(service.url).port),
    form,
    documentBytes: form === "hash" ? 32 : SETTINGS.documentBytes,
    connections: SETTINGS.connections,
    warmUpMs: SETTINGS.warmUpMs,
    measureMs: SETTINGS.measureMs,
    sampleEvery: SAMPLE_EVERY,
  };
  const cpuBefore = cpuMicros(service.pid);
  const {
    perSecond,
    requests,
    cpuMicros: generatorMicros,
    samples,
  } = await runJob<LoadJob, LoadResult>(LOAD, job);
  const cpuAfter = cpuMicros(service.pid);
  requireValidSamples(samples, certificatePem, directory);
  return {
    perSecond,
    cpuMicros:
      cpuBefore === undefined || cpuAfter === undefined ? undefined : (cpuAfter - cpuBefore) / requests,
    generatorMicros,
    verified: samples.length,
  };
}

/** Settings of the service by README.md, "Configuration"; the key's label is the algorithm's name. */
function serviceSettings(
  algorithm: KeyAlgorithmName,
  token: SoftHsmToken,
  directory: string,
): Readonly<Record<string, string>> {
  return {
    ...token.environment,
    UV_THREADPOOL_SIZE: String(SETTINGS.threads),
    HSM_MODULE: token.modulePath,
    HSM_TOKEN_LABEL: token.label,
    HSM_PIN: token.pin,
    HSM_KEY_LABEL: algorithm,
    HSM_KEY_ALGORITHM: algorithm,
    HSM_AUTO_PROVISION: "true",
    HSM_SESSIONS: String(SETTINGS.sessions),
    CERT_DIR: join(directory, "certs"),
    HOST: "127.0.0.1",
    PORT: "0",
  };
}

await main();
