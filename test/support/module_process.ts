import { type ChildProcess, spawn } from "node:child_process";
import { PROJECT } from "../../dev/service_process.ts";
import { moduleCommand } from "./module_command.ts";

/** A module in a process of its own, whose standard output nobody reads yet. It does not outlive this process. */
export interface ModuleProcess {
  readonly child: ChildProcess;
  /** Resolves when it has said so on its standard error. */
  said(text: string): Promise<void>;
  /** Reads its standard output from now on, to its end. */
  output(): Promise<string>;
  /** Its exit code, when it has ended. */
  readonly ended: Promise<number | null>;
}

/** @param text of the module, in the folder of the project */
export function startModule(text: string): ModuleProcess {
  const { program, args } = moduleCommand(text);
  const child = spawn(program, args, { cwd: PROJECT, stdio: ["ignore", "pipe", "pipe"] });
  const killChild = (): void => void child.kill("SIGKILL");
  process.once("exit", killChild);
  let complaint = "";
  let wake: () => void = () => {};
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    complaint += chunk;
    wake();
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once("error", reject).once("exit", (code) => {
      process.off("exit", killChild);
      resolve(code);
    });
  });
  return {
    child,
    ended,
    async said(wanted) {
      while (!complaint.includes(wanted)) {
        await new Promise<void>((resolve, reject) => {
          wake = resolve;
          void ended.then((code) => reject(new Error(`It ended with ${code}: ${complaint}`)));
        });
      }
    },
    async output() {
      let all = "";
      for await (const chunk of child.stdout.setEncoding("utf8")) all += chunk;
      return all;
    },
  };
}
