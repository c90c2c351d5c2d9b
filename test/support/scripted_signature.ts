import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { compileLibrary } from "./compile.ts";
import { temporaryDirectory } from "./temporary.ts";

/** A PKCS#11 library whose C_Sign gives what it is told; see scripted_signature.c. */
export interface ScriptedSignature {
  readonly modulePath: string;
  /** What C_Sign gives from now on. */
  set(signature: Uint8Array): void;
}

/** Compiles the library. */
export function scriptedSignature(): ScriptedSignature {
  const directory = temporaryDirectory();
  const [modulePath, path] = [join(directory, "scripted_signature.so"), join(directory, "signature")];
  compileLibrary(["test/support/scripted_signature.c"], modulePath);
  process.env["SCRIPTED_SIGNATURE"] = path;
  return { modulePath, set: (signature) => writeFileSync(path, signature) };
}
