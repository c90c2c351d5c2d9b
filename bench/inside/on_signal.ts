import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isMainThread } from "node:worker_threads";

/** Where the files are: of the environment, since it is loaded before the program. */
export const DIRECTORY_VARIABLE = "BENCH_INSIDE";

/**
 * Loaded into the service's process before the service: at each SIGUSR2 it writes what `make` gives to the file of
 * the process, and begins anew. One file says from the start on that the process can be asked.
 */
export function answerOnSignal(make: () => object): void {
  const directory = process.env[DIRECTORY_VARIABLE];
  if (directory === undefined || !isMainThread) return;
  const path = join(directory, String(process.pid));
  process.on("SIGUSR2", () => {
    writeFileSync(`${path}.new`, JSON.stringify(make()));
    renameSync(`${path}.new`, `${path}.answer`);
  });
  writeFileSync(path, "");
}
