import { type CpuTimes, cpuTimes, machineTimes, processesOf } from "./processes.ts";

/** What the processes of a group, and the machine, did while something was measured. */
export interface Usage {
  /** User and system time of all processes of the group, in microseconds. */
  readonly cpuMicros: number;
  /** Of the wall-clock time, the share in which the main thread of the process ran that used the most. */
  readonly threadRan: number;
  /** The share in which that thread could have run, and had no core. */
  readonly threadWaited: number;
  /** Processes that did a share of the work that is worth a mention. */
  readonly busyProcesses: number;
  /** Of the time of all cores, the share in which nothing ran. */
  readonly idle: number;
}

/** Of what the busiest process used: less is no work on requests. */
const WORTH_A_MENTION = 0.05;

/** Looks at a group of processes when a measurement begins and when it ends. */
export class UsageObserver {
  readonly #before: ReadonlyMap<number, CpuTimes>;
  readonly #machine = machineTimes();
  readonly #start = performance.now();

  constructor(group: number) {
    this.#before = new Map(processesOf(group).map((pid) => [pid, cpuTimes(pid)]));
  }

  end(): Usage {
    const wallMicros = (performance.now() - this.#start) * 1_000;
    const machine = machineTimes();
    const used = [...this.#before].map(([pid, before]) => difference(cpuTimes(pid), before));
    const most = Math.max(...used.map(({ process }) => process));
    const busiest = used.find(({ process }) => process === most);
    return {
      cpuMicros: used.reduce((sum, { process }) => sum + process, 0),
      threadRan: (busiest?.mainThread ?? 0) / wallMicros,
      threadWaited: (busiest?.mainThreadWaited ?? 0) / wallMicros,
      busyProcesses: used.filter(({ process }) => process > WORTH_A_MENTION * most).length,
      idle: (machine.idle - this.#machine.idle) / (machine.all - this.#machine.all),
    };
  }
}

function difference(now: CpuTimes, before: CpuTimes): CpuTimes {
  return {
    process: now.process - before.process,
    mainThread: now.mainThread - before.mainThread,
    mainThreadWaited: now.mainThreadWaited - before.mainThreadWaited,
  };
}
