import { fileURLToPath } from "node:url";
import { LOADER, type RuntimeCommand } from "../../dev/runtime_command.ts";
import { IS_DENO } from "../../lib/runtime.ts";

const IMPORT_MAP = fileURLToPath(new URL("../deno/import_map.json", import.meta.url));

/** A process of the text of a module, in which `args` are these. */
export function moduleCommand(text: string, args: readonly string[] = []): RuntimeCommand {
  return textCommand(LOADER, text, args);
}

/** The same without a loader: neither the text nor what it imports has types. */
export function scriptCommand(text: string): RuntimeCommand {
  return textCommand([], text, []);
}

function textCommand(loader: readonly string[], text: string, args: readonly string[]): RuntimeCommand {
  const complete = `const args = ${JSON.stringify(args)};\n${text}`;
  const words = IS_DENO
    ? ["eval", "--v8-flags=--expose-gc", "--import-map", IMPORT_MAP, complete]
    : [...loader, "--input-type=module", "-e", complete];
  return { program: process.execPath, args: words };
}
