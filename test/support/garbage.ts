import { getHeapSpaceStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

const collect = exposedCollector();

/** Deno exposes it by a flag of its own, for the process, and not afterwards. */
function exposedCollector(): (options?: { type: "minor" }) => void {
  if (typeof globalThis.gc === "function") return globalThis.gc as ReturnType<typeof exposedCollector>;
  setFlagsFromString("--expose-gc");
  return runInNewContext("gc");
}

/** Frees what nothing refers to any more. */
export function collectGarbage(): void {
  collect();
  collect();
}

/**
 * What a piece of work leaves among the old objects each time, in bytes, though nothing refers to it any more and the
 * young ones are collected after each time.
 */
export async function agedBy(work: () => void | Promise<void>): Promise<number> {
  const times = 100;
  const run = async (): Promise<void> => {
    for (let count = 0; count < times; count += 1) {
      await work();
      collect({ type: "minor" });
    }
  };
  const old = (): number => {
    const spaces = getHeapSpaceStatistics().filter(({ space_name }) => space_name === "old_space");
    return spaces.reduce((sum, { space_used_size }) => sum + space_used_size, 0);
  };
  await run();
  collectGarbage();
  const before = old();
  await run();
  return (old() - before) / times;
}
