import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { closeSync, openSync, readFileSync, statSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { nodeWords } from "../../dev/runtime_command.ts";
import { PROJECT } from "../../dev/service_process.ts";
import type { Server } from "../jobs/client.ts";

/** How a service is run. */
export interface ServiceOptions {
  /** By standard `server.ts` by the Node of this process, as `bin/hsm-signer` would run it. */
  readonly command?: readonly string[];
  /** For Node, such as a module to load first. */
  readonly nodeArguments?: readonly string[];
  /** The whole environment but for PATH and HOME. */
  readonly environment: Readonly<Record<string, string>>;
  /** The file that its log goes to. */
  readonly log: string;
}

/** The service, in a process group of its own. */
export interface Service extends Server {
  readonly url: string;
  readonly certificatePem: string;
  /** Warnings and errors of its log so far. */
  troubles(): readonly string[];
  /** How long its log is, in bytes. */
  logLength(): number;
  /** What its log says, from a byte on, of how long C_SignInit and C_Sign took of each request, in milliseconds. */
  tokenTimes(from: number): readonly number[];
  stop(): Promise<void>;
}

const START_LIMIT_MS = 60_000;
const LOOK_EVERY_MS = 2;
const MOST_TROUBLES = 20;

/**
 * Starts the service and waits until it listens. It does not outlive this process.
 *
 * Its log goes to a file, as it does in production: somebody who reads a pipe, line by line, costs as much as the
 * load generator.
 *
 * @throws Error with its log when it does not start
 */
export async function startService(options: ServiceOptions): Promise<Service> {
  const child = spawnService(options);
  const kill = (): void => void child.kill("SIGKILL");
  process.once("exit", kill);
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const stop = async (): Promise<void> => {
    child.kill("SIGTERM");
    await ended;
    process.off("exit", kill);
  };
  try {
    const url = await listeningUrl(child, options.log);
    const { hostname: host, port } = new URL(url);
    const certificatePem = await (await fetch(`${url}/certificate`)).text();
    return {
      url,
      host,
      port: Number(port),
      group: child.pid ?? 0,
      certificatePem,
      troubles: () => troublesOf(options.log),
      logLength: () => statSync(options.log).size,
      tokenTimes: (from) => tokenTimesIn(readFileSync(options.log).toString("utf8", from)),
      stop,
    };
  } catch (error) {
    kill();
    throw error;
  }
}

function spawnService({ command, nodeArguments = [], environment, log }: ServiceOptions): ChildProcess {
  const standard = [process.execPath, ...nodeWords(), ...nodeArguments, "server.ts"];
  const [program = "", ...args] = command ?? standard;
  const { PATH = "", HOME = "" } = process.env;
  const output = openSync(log, "a");
  const child = spawn(program, args, {
    cwd: PROJECT,
    env: { PATH, HOME, ...environment },
    stdio: ["ignore", output, output],
    // Also, Ctrl-C reaches this process alone, which stops the service in its own way.
    detached: true,
  });
  closeSync(output);
  return child;
}

/** Found in the log; asking a port would ask whoever is there already. */
async function listeningUrl(child: ChildProcess, log: string): Promise<string> {
  const limit = performance.now() + START_LIMIT_MS;
  while (performance.now() < limit && child.exitCode === null && child.signalCode === null) {
    const [, url] = /"event":"listening".*?"url":"([^"]+)"/.exec(readFileSync(log, "utf8")) ?? [];
    if (url !== undefined) return url;
    await delay(LOOK_EVERY_MS);
  }
  throw new Error(`Cannot measure: the service does not listen.\n${readFileSync(log, "utf8")}`);
}

/** By a program that does not take the log into memory: it may have a line for each of a million requests. */
function troublesOf(log: string): readonly string[] {
  const found = spawnSync("grep", ["-v", "-m", String(MOST_TROUBLES), '"level":"info"', log], {
    encoding: "utf8",
  });
  return found.stdout.split("\n").filter((line) => line !== "");
}

function tokenTimesIn(log: string): readonly number[] {
  return [...log.matchAll(/"tokenMs":([\d.]+)/g)].map(([, text]) => Number(text)).filter((ms) => ms > 0);
}
