import { readdirSync, readFileSync, writeFileSync } from "node:fs";

/** What the kernel says of processes (proc(5)); Linux alone. */

/** USER_HZ: the unit of times in /proc, 10 ms on every Linux that Node runs on (sysconf(3)). */
const TICK_MICROS = 10_000;
/** In a microsecond. */
const NANOSECONDS = 1_000;
const KIB = 1_024;

/** Times so far, in microseconds. */
export interface CpuTimes {
  /** User and system time of the process, all threads. */
  readonly process: number;
  /** The same of its main thread, which runs the JavaScript. */
  readonly mainThread: number;
  /** In which that thread could have run, and had no core. */
  readonly mainThreadWaited: number;
}

/** The processes of a group: one that was started detached, and what it started itself. */
export function processesOf(group: number): readonly number[] {
  const processes = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return processes.filter((name) => isOfGroup(name, group)).map(Number);
}

function isOfGroup(process: string, group: number): boolean {
  try {
    return Number(statFields(`/proc/${process}/stat`)[2]) === group;
  } catch {
    // It has ended meanwhile.
    return false;
  }
}

/** @throws Error when there is no such process */
export function cpuTimes(pid: number): CpuTimes {
  const [ran = 0, waited = 0] = readFileSync(`/proc/${pid}/task/${pid}/schedstat`, "latin1")
    .split(" ")
    .map((nanoseconds) => Number(nanoseconds) / NANOSECONDS);
  return { process: ticks(`/proc/${pid}/stat`), mainThread: ran, mainThreadWaited: waited };
}

/** Time of all cores so far in which nothing ran, and all their time, in the kernel's units. */
export function machineTimes(): { readonly idle: number; readonly all: number } {
  const [line = ""] = readFileSync("/proc/stat", "latin1").split("\n");
  const times = line.split(/\s+/).slice(1, 9).map(Number);
  const [idle = 0, waiting = 0] = times.slice(3);
  return { idle: idle + waiting, all: times.reduce((sum, time) => sum + time, 0) };
}

/** Resident memory of a process and the most that it was, in bytes. */
export function residentMemory(pid: number): { readonly now: number; readonly peak: number } {
  const status = readFileSync(`/proc/${pid}/status`, "latin1");
  const bytes = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(status)?.[1] ?? Number.NaN) * KIB;
  return { now: bytes("VmRSS"), peak: bytes("VmHWM") };
}

/** Makes the peak what the memory is now, so that an older one does not hide a new one (proc(5), clear_refs). */
export function forgetPeak(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, "5");
}

function ticks(stat: string): number {
  const fields = statFields(stat);
  return (Number(fields[11]) + Number(fields[12])) * TICK_MICROS;
}

/** From the third field on, the state: the second one is the name in parentheses, which may hold spaces. */
function statFields(path: string): readonly string[] {
  const stat = readFileSync(path, "latin1");
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}
