import {
  type Command,
  type CommandContext,
  type CommandOptions,
  exitCodeOf,
  readConfig,
} from "../command.ts";
import { messageOf, sentencesOf } from "../errors.ts";
import { EXIT } from "../exit_codes.ts";
import { jsonLog, type Log } from "../log.ts";
import { endProcess, sizeThreadPool, threadsFor } from "../runtime.ts";
import { HungStartError, type Service, startService } from "../service.ts";

const STOP_GRACE_MS = 25_000;

/**
 * Starts the service. SIGHUP has it read its configuration again, SIGTERM and SIGINT stop it. The process ends by
 * itself: with an exit code, or with SIGKILL when its HSM never answers a running C_Sign, since every other way to
 * exit waits for that thread.
 */
export const SERVE: Command = {
  name: "serve",
  summary: "run the service (what is done without a command, too)",
  options: [],
  run: serve,
};

async function serve(context: CommandContext, options: CommandOptions): Promise<undefined> {
  const log = jsonLog((line) => context.print(line));
  try {
    const config = readConfig(context, options);
    warnOfFewThreads(config.token.sessions, log);
    const service = await startService({ config, log, now: context.now });
    reloadOnSignal(service, context, options, log);
    stopOnSignals(service, log);
  } catch (error) {
    for (const sentence of sentencesOf(error)) context.tell(sentence);
    endProcess(
      exitCodeOf(error instanceof HungStartError ? error.cause : error),
      error instanceof HungStartError,
    );
  }
}

function warnOfFewThreads(sessions: number, log: Log): void {
  const { threads } = sizeThreadPool(threadsFor(sessions));
  if (threads === undefined || threads >= sessions) return;
  const advice = `start with UV_THREADPOOL_SIZE=${threadsFor(sessions)}`;
  log("warning", "thread_pool.small", { threads, sessions, advice });
}

function reloadOnSignal(service: Service, context: CommandContext, options: CommandOptions, log: Log): void {
  process.on("SIGHUP", async () => {
    try {
      await service.reload(readConfig(context, options));
    } catch (error) {
      log("error", "reload.failed", {
        mistakes: sentencesOf(error),
        advice: "everything is as it was before",
      });
    }
  });
}

function stopOnSignals(service: Service, log: Log): void {
  let isStopping = false;
  const stop = async (signal: NodeJS.Signals): Promise<void> => {
    if (isStopping) return;
    isStopping = true;
    log("info", "stopping", { signal });
    try {
      const clean = await service.stop(STOP_GRACE_MS);
      log(clean ? "info" : "error", "stopped", { clean });
      endProcess(EXIT.ok, !clean);
    } catch (error) {
      log("error", "stop.failed", { reason: messageOf(error) });
      endProcess(EXIT.failed, false);
    }
  };
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
}
