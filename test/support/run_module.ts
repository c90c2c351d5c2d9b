import { execFileSync } from "node:child_process";
import { PROJECT } from "../../dev/service_process.ts";
import { moduleCommand } from "./module_command.ts";

/** Runs the text of a module, in the folder of the project and a process of its own, and returns what it printed. */
export function runModule(text: string): string {
  const { program, args } = moduleCommand(text);
  return execFileSync(program, args, { cwd: PROJECT, encoding: "utf8" });
}
