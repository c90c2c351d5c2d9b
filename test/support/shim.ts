import { execFileSync } from "node:child_process";
import { renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { temporaryDirectory } from "./temporary.ts";

/** What C_Sign shall do from now on; see shim.c. */
export interface ShimOrder {
  readonly delayMs?: number;
  /** The next so many calls give a wrong signature with CKR_OK. */
  readonly wrong?: number;
  /** The next so many calls fail with `returnValue`. */
  readonly failing?: number;
  readonly returnValue?: number;
}

/** A PKCS#11 library over another one whose C_Sign does as it is told. */
export interface Shim {
  readonly modulePath: string;
  /** What a process that loads the library has to have in its environment; this one has it already. */
  readonly environment: Readonly<Record<string, string>>;
  order(order: ShimOrder): void;
}

/** Compiles the library; this process's environment names the one below it and the control file from now on. */
export function shimOver(modulePath: string): Shim {
  const directory = temporaryDirectory();
  const control = join(directory, "control");
  const library = join(directory, "shim.so");
  const here = dirname(fileURLToPath(import.meta.url));
  const headers = join(here, "../../node_modules/pkcs11js/includes/pkcs11");
  execFileSync("cc", [
    "-shared",
    "-fPIC",
    "-Wall",
    "-O1",
    `-I${headers}`,
    "-o",
    library,
    join(here, "shim.c"),
    "-ldl",
  ]);
  const environment = { SHIM_MODULE: modulePath, SHIM_CONTROL: control };
  Object.assign(process.env, environment);
  let epoch = 0;
  return {
    modulePath: library,
    environment,
    order({ delayMs = 0, wrong = 0, failing = 0, returnValue = 0 }) {
      epoch += 1;
      // Renamed into place: C_Sign must never read half a line.
      writeFileSync(`${control}.new`, `${epoch} ${delayMs * 1000} ${wrong} ${returnValue} ${failing}\n`);
      renameSync(`${control}.new`, control);
    },
  };
}
