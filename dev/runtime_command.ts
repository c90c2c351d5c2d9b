import { readFileSync } from "node:fs";
import { IS_DENO } from "../lib/runtime.ts";

/** The command line of a process that runs the sources in the same runtime as this one. */
export interface RuntimeCommand {
  readonly program: string;
  readonly args: readonly string[];
}

/** What a runtime puts before the sources: Node before 22.18 has tsx take the types away. */
export const LOADER: readonly string[] = Reflect.get(process.features, "typescript")
  ? []
  : ["--import", "tsx"];

/** What `bin/hsm-signer` tells Node before the sources. */
export function nodeWords(): readonly string[] {
  const script = readFileSync(new URL("../bin/hsm-signer", import.meta.url), "utf8");
  const [, words] = /^exec node (.+) "\$@"$/m.exec(script) ?? [];
  if (words === undefined) throw new Error("Cannot find what bin/hsm-signer tells Node");
  return [...words.split(" "), ...LOADER];
}

/** `hsm-signer` with these arguments, in the folder of the project. */
export function serverCommand(args: readonly string[]): RuntimeCommand {
  const words = IS_DENO ? denoTask(args) : [...nodeWords(), "server.ts", ...args];
  return { program: process.execPath, args: words };
}

/** What `deno task` runs, with its permissions and no others: the tests prove that they are enough. */
function denoTask(args: readonly string[]): readonly string[] {
  const { tasks } = JSON.parse(readFileSync(new URL("../deno.json", import.meta.url), "utf8"));
  const [, ...words] = String(args.length === 0 ? tasks.start : tasks["hsm-signer"]).split(" ");
  return [...words, ...args];
}
