import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
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
  const here = dirname(fileURLToPath(import.meta.url));
  const headers = ["../../node_modules/pkcs11js/includes/pkcs11", "../cloudhsm"].map(
    (folder) => `-I${join(here, folder)}`,
  );
  const flags = ["-shared", "-fPIC", "-O1", "-std=gnu11", "-Wall", "-Wextra", "-Werror"];
  execFileSync("cc", [...flags, ...headers, "-o", modulePath, join(here, "scripted_signature.c")]);
  process.env["SCRIPTED_SIGNATURE"] = path;
  return { modulePath, set: (signature) => writeFileSync(path, signature) };
}
