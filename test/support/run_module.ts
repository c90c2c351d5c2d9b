import { execFileSync } from "node:child_process";
import { PROJECT } from "../../dev/service_process.ts";

/** Runs the text of a module, in the folder of the project and a process of its own, and returns what it printed. */
export function runModule(text: string): string {
  return execFileSync(process.execPath, ["--import", "tsx", "--input-type=module", "-e", text], {
    cwd: PROJECT,
    encoding: "utf8",
  });
}
