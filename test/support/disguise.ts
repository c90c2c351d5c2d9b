import { join } from "node:path";
import { compileLibrary } from "./compile.ts";
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
  compileLibrary(["test/support/disguise.c"], library);
  return { modulePath: library, environment: { DISGUISE_MODULE: modulePath } };
}
