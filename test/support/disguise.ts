import { execFileSync } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { temporaryDirectory } from "./temporary.ts";

/** A PKCS#11 library over another one that says what it is told, by the environment, of its token; see disguise.c. */
export interface Disguise {
  readonly modulePath: string;
  /** What a process that loads the library has to have in its environment, besides what it is to say. */
  readonly environment: Readonly<Record<string, string>>;
}

/** Compiles the library. */
export function disguiseOver(modulePath: string): Disguise {
  const library = join(temporaryDirectory(), "disguise.so");
  const here = dirname(fileURLToPath(import.meta.url));
  const headers = ["../../node_modules/pkcs11js/includes/pkcs11", "../cloudhsm"].map(
    (path) => `-I${join(here, path)}`,
  );
  const warnings = ["-std=gnu11", "-Wall", "-Wextra", "-Werror"];
  const source = join(here, "disguise.c");
  execFileSync("cc", ["-shared", "-fPIC", "-O1", ...warnings, ...headers, "-o", library, source, "-ldl"]);
  return { modulePath: library, environment: { DISGUISE_MODULE: modulePath } };
}
