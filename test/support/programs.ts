import { spawnSync } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "./temporary.ts";

const scratch = temporaryDirectory();

/** The path of a new file with these contents. */
export function fileWith(contents: string | Uint8Array, name = "contents"): string {
  const path = join(mkdtempSync(join(scratch, "file-")), name);
  writeFileSync(path, contents);
  return path;
}

/**
 * What a program prints about some contents, on its standard output and then on its standard error.
 *
 * @param args among which `FILE` stands for the path of a file with the contents
 * @throws Error with that text, when the program fails
 */
export function printed(contents: string | Uint8Array, program: string, ...args: readonly string[]): string {
  const path = fileWith(contents);
  const { stdout, stderr, status, error } = spawnSync(
    program,
    args.map((argument) => (argument === "FILE" ? path : argument)),
    { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, LC_ALL: "C.UTF-8" } },
  );
  if (error) throw error;
  if (status !== 0) throw new Error(`${program} ${args.join(" ")}: ${stderr}${stdout}`);
  return stdout + stderr;
}
