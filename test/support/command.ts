import { spawn } from "node:child_process";
import { serverCommand } from "../../dev/runtime_command.ts";
import { PROJECT } from "../../dev/service_process.ts";

/** What became of a command. */
export interface CommandResult {
  /** `null` when a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs `hsm-signer` as a user does, in a process of its own, to its end. It does not outlive this process.
 *
 * @param args after the program's name: the command and its options
 * @param environment all of it but for PATH, HOME and the size of the thread pool: nothing of this process's own
 *   settings reaches the command
 */
export function runCommand(
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<CommandResult> {
  const { PATH = "", HOME = "" } = process.env;
  const command = serverCommand(args);
  const child = spawn(command.program, command.args, {
    cwd: PROJECT,
    env: { PATH, HOME, ...environment },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const killChild = (): void => void child.kill("SIGKILL");
  process.once("exit", killChild);
  const output = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name].setEncoding("utf8").on("data", (text: string) => {
      output[name] += text;
    });
  }
  return new Promise<CommandResult>((resolve, reject) => {
    child.once("error", reject);
    // "close", unlike "exit", comes when all that it said has arrived.
    child.once("close", (code, signal) => resolve({ code, signal, ...output }));
  }).finally(() => process.off("exit", killChild));
}
