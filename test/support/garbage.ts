import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

const collect = exposedCollector();

/** Deno exposes it by a flag of its own, for the process, and not afterwards. */
function exposedCollector(): () => void {
  if (typeof globalThis.gc === "function") return globalThis.gc;
  setFlagsFromString("--expose-gc");
  return runInNewContext("gc");
}

/** Frees what nothing refers to any more. */
export function collectGarbage(): void {
  collect();
  collect();
}
