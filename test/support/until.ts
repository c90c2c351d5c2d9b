import { setTimeout as delay } from "node:timers/promises";

const PATIENCE_MS = 60_000;

/**
 * Waits until something is so.
 *
 * @throws Error when it is not so for long
 */
export async function until(isMet: () => boolean | Promise<boolean>): Promise<void> {
  const start = performance.now();
  while (!(await isMet())) {
    if (performance.now() - start > PATIENCE_MS) throw new Error(`Cannot go on: never came ${isMet}`);
    await delay(1);
  }
}
