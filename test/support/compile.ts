import { execFileSync } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const PROJECT = join(dirname(fileURLToPath(import.meta.url)), "../..");
const HEADERS = ["node_modules/pkcs11js/includes/pkcs11", "test/cloudhsm"];

/**
 * Compiles C with the PKCS#11 headers at hand (`cryptoki.h`), as strictly as the system's compiler can.
 *
 * @param sources from the root of the project
 */
export function compile(sources: readonly string[], result: string, ...flags: readonly string[]): void {
  execFileSync("cc", [
    ...["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O1"],
    ...flags,
    ...HEADERS.map((folder) => `-I${join(PROJECT, folder)}`),
    ...["-o", result],
    ...sources.map((source) => join(PROJECT, source)),
    ...["-ldl", "-pthread"],
  ]);
}

/** Compiles what is loaded as a PKCS#11 library. */
export function compileLibrary(sources: readonly string[], result: string): void {
  compile(sources, result, "-shared", "-fPIC", "-fvisibility=hidden");
}
