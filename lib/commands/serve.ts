import {
  type Command,
  type CommandContext,
  type CommandOptions,
  exitCodeOf,
  readConfig,
} from "../command.ts";
import { messageOf, sentencesOf } from "../errors.ts";
import { EXIT } from "../exit_codes.ts";
import { LineWriter } from "../line_writer.ts";
import { jsonLog, type LogLevel, logLine } from "../log.ts";
import { endProcess, prepareProcess } from "../runtime.ts";
import { HungStartError, type Service, startService } from "../service.ts";
import { inheritedSocket } from "../supervision/inherited_socket.ts";
import { Supervisor } from "../supervision/supervisor.ts";

const STOP_GRACE_MS = 25_000;

/**
 * Starts the service. SIGHUP has it read its configuration again, SIGUSR2 has the audit trail go on in a new file,
 * SIGTERM and SIGINT stop it. The process ends by itself: with an exit code, or with SIGKILL when its HSM never
 * answers a running C_Sign, since every other way to exit waits for that thread.
 */
export const SERVE: Command = {
  name: "serve",
  summary: "run the service (what is done without a command, too)",
  options: [],
  run: serve,
};

async function serve(context: CommandContext, options: CommandOptions): Promise<undefined> {
  const { environment, now } = context;
  prepareProcess();
  const output = new LineWriter({
    descriptor: process.stdout.fd,
    lossLine: (lines) => logLine(now(), "error", "log.lines_lost", { lines }),
  });
  process.once("exit", () => output.end());
  const end: typeof endProcess = (code, isHung) => {
    // Nobody is told of the end of a process that kills itself.
    output.end();
    endProcess(code, isHung);
  };
  let level: LogLevel = "info";
  const lines = jsonLog((line) => output.write(line), { now, level: () => level });
  const supervisor = new Supervisor({ environment, log: lines });
  const { log } = supervisor;
  try {
    const config = readConfig(context, options);
    level = config.logLevel;
    supervisor.starting();
    const socket = inheritedSocket(environment);
    const service = await startService({ config, log, now, socket, linesLost: () => output.lost });
    const reload = async (): Promise<void> => {
      const next = readConfig(context, options);
      await service.reload(next);
      level = next.logLevel;
    };
    reloadOnSignal(reload, supervisor);
    process.on("SIGUSR2", () => service.rotateAudit());
    stopOnSignals(service, supervisor, end);
    supervisor.ready(service);
  } catch (error) {
    const sentences = sentencesOf(error);
    for (const sentence of sentences) context.tell(sentence);
    await supervisor.failed(sentences);
    end(exitCodeOf(error instanceof HungStartError ? error.cause : error), error instanceof HungStartError);
  }
}

function reloadOnSignal(reload: () => Promise<void>, supervisor: Supervisor): void {
  process.on("SIGHUP", async () => {
    supervisor.reloading();
    let mistakes: readonly string[] = [];
    try {
      await reload();
    } catch (error) {
      mistakes = sentencesOf(error);
      supervisor.log("error", "reload.failed", { mistakes, advice: "everything is as it was before" });
    }
    supervisor.reloaded(mistakes);
  });
}

function stopOnSignals(service: Service, supervisor: Supervisor, end: typeof endProcess): void {
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
      end(EXIT.ok, !clean);
    } catch (error) {
      log("error", "stop.failed", { reason: messageOf(error) });
      end(EXIT.failed, false);
    }
  };
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
}
