import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const directories: string[] = [];

process.on("exit", () => {
  for (const path of directories) rmSync(path, { recursive: true, force: true });
});

/** A directory that is gone when the process is. */
export function temporaryDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), "hsm-signer-test-"));
  directories.push(path);
  return path;
}
