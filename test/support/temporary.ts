import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A directory that is gone when the process is. */
export function temporaryDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), "hsm-signer-test-"));
  process.on("exit", () => rmSync(path, { recursive: true, force: true }));
  return path;
}
