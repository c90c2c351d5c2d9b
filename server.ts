import { existsSync, readFileSync } from "node:fs";
import { type ConfigSources, PIN_VARIABLES, parseConfig } from "./lib/config.ts";
import { distinguishedNameFault } from "./lib/credential/distinguished_name.ts";
import { messageOf } from "./lib/errors.ts";
import { jsonLog, type Log } from "./lib/log.ts";
import { sizeThreadPool } from "./lib/runtime.ts";
import { HungStartError, type Service, startFailure, startService } from "./lib/service.ts";

/**
 * `hsm-signer`: reads the environment, starts the service, stops it at SIGTERM or SIGINT.
 *
 * Exit codes: 0 stopped as asked; 1 could not start, or could not stop properly. A process whose HSM never
 * answers a running C_Sign ends itself with SIGKILL, since every other way to exit waits for that thread.
 */
const STOP_GRACE_MS = 25_000;
/** Threads for everything that is not a C_Sign: files, name look-ups. */
const OTHER_THREADS = 4;

const log = jsonLog((line) => void process.stdout.write(line));
// Whoever read the log went away; that is no reason to stop signing.
process.stdout.on("error", () => {});

async function main(): Promise<void> {
  try {
    const service = await startService({ config: readConfig(log), log });
    stopOnSignals(service);
  } catch (error) {
    for (const sentence of startFailure(error)) process.stderr.write(`hsm-signer: ${sentence}\n`);
    end(1, error instanceof HungStartError);
  }
}

/**
 * Ends the process now. Left to itself it would wait for a C_Sign that hangs, and would unload the PKCS#11
 * library, which one that has threads of its own does not survive.
 */
function end(code: number, isHung: boolean): void {
  if (isHung) process.kill(process.pid, "SIGKILL");
  else process.exit(code);
}

function readConfig(log: Log): ReturnType<typeof parseConfig> {
  const sources: ConfigSources = {
    fileExists: existsSync,
    readFile: (path) => readFileSync(path, "utf8"),
    distinguishedNameFault,
  };
  const config = parseConfig(process.env, sources);
  // Nothing that this process starts, and no dump of its environment from inside, shall show the PIN.
  for (const name of PIN_VARIABLES) delete process.env[name];
  const { threads } = sizeThreadPool(config.token.sessions + OTHER_THREADS);
  if (threads !== undefined && threads < config.token.sessions) {
    log("warning", "thread_pool.small", {
      threads,
      sessions: config.token.sessions,
      advice: `start with UV_THREADPOOL_SIZE=${config.token.sessions + OTHER_THREADS}`,
    });
  }
  return config;
}

function stopOnSignals(service: Service): void {
  let isStopping = false;
  const stop = async (signal: NodeJS.Signals): Promise<void> => {
    if (isStopping) return;
    isStopping = true;
    log("info", "stopping", { signal });
    try {
      const clean = await service.stop(STOP_GRACE_MS);
      log(clean ? "info" : "error", "stopped", { clean });
      end(0, !clean);
    } catch (error) {
      log("error", "stop.failed", { reason: messageOf(error) });
      end(1, false);
    }
  };
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
}

await main();
