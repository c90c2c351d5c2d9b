import type { CommandContext } from "../command.ts";

const TICK_MS = 3_000;

/** Says from time to time, while something is waited for, that it still goes on. */
export async function withProgress<T>({ tell }: CommandContext, what: string, work: Promise<T>): Promise<T> {
  const start = performance.now();
  const timer = setInterval(() => {
    tell(`Still ${what}, for ${Math.round((performance.now() - start) / 1000)} s …`);
  }, TICK_MS);
  try {
    return await work;
  } finally {
    clearInterval(timer);
  }
}
