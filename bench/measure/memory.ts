import { forgetPeak, processesOf, residentMemory } from "./processes.ts";

/** Resident memory of all processes of a group, in bytes. */
export function groupMemory(group: number): number {
  return processesOf(group).reduce((sum, pid) => sum + residentMemory(pid).now, 0);
}

/** By how much the resident memory of the processes of a group grew at most while something was done, in bytes. */
export async function peakGrowth<T>(
  group: number,
  work: () => Promise<T>,
): Promise<T & { readonly grownBytes: number }> {
  const before = processesOf(group).map((pid) => {
    forgetPeak(pid);
    return { pid, bytes: residentMemory(pid).now };
  });
  const result = await work();
  const grown = before.map(({ pid, bytes }) => Math.max(residentMemory(pid).peak - bytes, 0));
  return { ...result, grownBytes: grown.reduce((sum, bytes) => sum + bytes, 0) };
}

/** Looks at the resident memory of a group every so often while something is done. */
export async function memoryDuring<T>(
  group: number,
  everyMs: number,
  work: () => Promise<T>,
): Promise<{ readonly result: T; readonly bytes: readonly number[] }> {
  const bytes = [groupMemory(group)];
  const timer = setInterval(() => bytes.push(groupMemory(group)), everyMs);
  try {
    return { result: await work(), bytes };
  } finally {
    clearInterval(timer);
  }
}
