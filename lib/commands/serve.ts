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
import { inheritedSocket } from "../supervision/inherited_socket.ts";
import { Supervisor } from "../supervision/supervisor.ts";

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
  const { environment, now } = context;
  const supervisor = new Supervisor({ environment, log: jsonLog((line) => context.print(line)) });
  const { log } = supervisor;
  try {
    const config = readConfig(context, options);
    warnOfFewThreads(config.token.sessions, log);
    supervisor.starting();
    const service = await startService({ config, log, now, socket: inheritedSocket(environment) });
    reloadOnSignal(service, context, options, supervisor);
    stopOnSignals(service, supervisor);
    supervisor.ready(service);
  } catch (error) {
    const sentences = sentencesOf(error);
    for (const sentence of sentences) context.tell(sentence);
    await supervisor.failed(sentences);
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

function reloadOnSignal(
  service: Service,
  context: CommandContext,
  options: CommandOptions,
  supervisor: Supervisor,
): void {
  process.on("SIGHUP", async () => {
    supervisor.reloading();
    let mistakes: readonly string[] = [];
    try {
      await service.reload(readConfig(context, options));
    } catch (error) {
      mistakes = sentencesOf(error);
      supervisor.log("error", "reload.failed", { mistakes, advice: "everything is as it was before" });
    }
    supervisor.reloaded(mistakes);
  });
}

function stopOnSignals(service: Service, supervisor: Supervisor): void {
  const { log } = supervisor;
  let isStopping = false;
  const stop = async (signal: NodeJS.Signals): Promise<void> => {
    if (isStopping) return;
    isStopping = true;
    supervisor.stopping();
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
