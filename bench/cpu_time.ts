import { readFileSync } from "node:fs";

/** USER_HZ: the unit of times in /proc, 10 ms on every Linux that Node runs on (proc(5), sysconf(3)). */
const TICK_MICROS = 10_000;

/** User and system time that a process has used so far, in microseconds; where the system says (Linux). */
export function cpuMicros(pid: number): number | undefined {
  if (process.platform !== "linux") return undefined;
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  // The second field is the name in parentheses, which may hold spaces: utime and stime are fields 14 and 15.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * TICK_MICROS;
}
