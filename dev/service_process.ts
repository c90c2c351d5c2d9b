import { type ChildProcess, spawn } from "node:child_process";
import { dirname } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { serverCommand } from "./runtime_command.ts";

/** The folder of the project, whatever the working directory is. */
export const PROJECT: string = dirname(dirname(fileURLToPath(import.meta.url)));

/** How a process ended. */
export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** What it wrote to standard error. */
  readonly complaint: string;
}

export interface ServiceProcessOptions {
  /** The whole environment but for PATH and HOME: nothing of this process's own settings reaches the service. */
  readonly environment: Readonly<Record<string, string>>;
  /** Takes each line of the service's log as it is written. */
  readonly onLine?: (line: string) => void;
  /** How long the service may take to listen, in milliseconds. */
  readonly startLimitMs?: number;
}

/** The service as `npm start` runs it, in a process of its own. */
export interface ServiceProcess {
  readonly url: string;
  readonly pid: number;
  readonly ended: Promise<Ending>;
  kill(signal: NodeJS.Signals): void;
  /** SIGTERM, and how it ended then. */
  stop(): Promise<Ending>;
}

/** The service ended, or took too long, before it listened. */
export class ServiceStartError extends Error {
  readonly ending: Ending | undefined;

  constructor(message: string, ending?: Ending) {
    super(message);
    this.name = "ServiceStartError";
    this.ending = ending;
  }
}

/**
 * Starts the service and waits until it listens. It does not outlive this process.
 *
 * @throws ServiceStartError
 */
export async function startServiceProcess(options: ServiceProcessOptions): Promise<ServiceProcess> {
  const { PATH = "", HOME = "" } = process.env;
  const { program, args } = serverCommand([]);
  const child = spawn(program, args, {
    cwd: PROJECT,
    env: { PATH, HOME, ...options.environment },
    stdio: ["ignore", "pipe", "pipe"],
    // A group of its own: Ctrl-C reaches this process alone, which stops the service in its own way.
    detached: true,
  });
  const killChild = (): void => void child.kill("SIGKILL");
  process.once("exit", killChild);
  const ended = endingOf(child);
  ended
    .finally(() => process.off("exit", killChild))
    .catch(() => {
      // Told to whoever waits for the start.
    });
  try {
    const url = await listeningUrl(child, ended, options);
    const { pid = 0 } = child;
    // Not `child.kill`: after it Deno takes any end for the signal's, whatever the process made of that.
    const kill = (signal: NodeJS.Signals): void => {
      if (child.exitCode === null && child.signalCode === null) process.kill(pid, signal);
    };
    const stop = (): Promise<Ending> => {
      kill("SIGTERM");
      return ended;
    };
    return { url, pid, ended, kill, stop };
  } catch (error) {
    child.kill("SIGKILL");
    throw error;
  }
}

function endingOf(child: ChildProcess): Promise<Ending> {
  let complaint = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    complaint += text;
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    // "close", unlike "exit", comes when all that it said has arrived.
    child.once("close", (code, signal) => resolve({ code, signal, complaint: complaint.trim() }));
  });
}

/** Finds in the log where the service listens; asking a port would ask whoever is there already. */
function listeningUrl(
  child: ChildProcess,
  ended: Promise<Ending>,
  options: ServiceProcessOptions,
): Promise<string> {
  const { onLine, startLimitMs = 60_000 } = options;
  return new Promise((resolve, reject) => {
    const tooLate = new ServiceStartError(`The service does not listen after ${startLimitMs / 1000} s`);
    const timer = setTimeout(() => reject(tooLate), startLimitMs);
    ended
      .then(
        (ending) =>
          reject(new ServiceStartError(`The service ended: ${ending.complaint || ending.signal}`, ending)),
        reject,
      )
      .finally(() => clearTimeout(timer));
    if (child.stdout === null) return;
    createInterface(child.stdout).on("line", (line) => {
      onLine?.(line);
      const event = parsed(line);
      if (event["event"] !== "listening") return;
      clearTimeout(timer);
      resolve(String(event["url"]));
    });
  });
}

function parsed(line: string): Record<string, unknown> {
  try {
    return JSON.parse(line);
  } catch {
    return {};
  }
}
