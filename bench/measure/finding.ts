import { median } from "./rounds.ts";
import type { Usage } from "./usage.ts";

/** A figure, what it has to be, and whether it is that. */
export interface Finding {
  readonly figure: string;
  readonly value: number;
  readonly unit: string;
  readonly target: Target;
  readonly isMet: boolean;
  /** What was measured, with the numbers that the value was made of. */
  readonly how: string;
  /** What keeps it from being better, by the times of processes and machine in the same run. */
  readonly bound?: string;
}

export type Target = { readonly atLeast: number } | { readonly atMost: number };

export type Measured = Omit<Finding, "isMet">;

export function finding(measured: Measured): Finding {
  const { value, target } = measured;
  const isMet = "atLeast" in target ? value >= target.atLeast : value <= target.atMost;
  return { ...measured, value: rounded(value), isMet };
}

/** To three digits, or to the whole number. */
export function rounded(value: number): number {
  return Math.abs(value) >= 100 ? Math.round(value) : Number(value.toPrecision(3));
}

/** What a load took of the machine. */
export interface Taken {
  readonly requests: number;
  readonly usage: Usage;
  /** User and system time of the generator for one request, in microseconds. */
  readonly generatorMicros: number;
}

const FULL_MACHINE_IDLE = 0.08;
const BUSY_THREAD = 0.85;
const THREAD = "the JavaScript thread";

/** Says, by the medians of its rounds, what bounds a load that never pauses. */
export function boundOf(rounds: readonly Taken[]): string {
  const middle = (of: (round: Taken) => number): number => median(rounds.map(of));
  const idle = middle(({ usage }) => usage.idle);
  const ran = middle(({ usage }) => usage.threadRan);
  const waited = middle(({ usage }) => usage.threadWaited);
  const service = middle(({ usage, requests }) => usage.cpuMicros / requests);
  const generator = middle(({ generatorMicros }) => generatorMicros);
  return (
    `${verdict(idle, ran, waited)}: ${duration(service)} of CPU a request in the process that is measured, ` +
    `${duration(generator)} in the generator; its busiest main thread ran ${percent(ran)} of the time and ` +
    `had no core in ${percent(waited)}; the machine was idle in ${percent(idle)}`
  );
}

function verdict(idle: number, ran: number, waited: number): string {
  if (ran > BUSY_THREAD) return THREAD;
  if (idle < FULL_MACHINE_IDLE) return "the machine's CPU";
  return ran + waited > BUSY_THREAD ? THREAD : "neither the machine's CPU nor one thread";
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}

function duration(micros: number): string {
  return micros < 10_000 ? `${rounded(micros)} µs` : `${rounded(micros / 1_000)} ms`;
}
