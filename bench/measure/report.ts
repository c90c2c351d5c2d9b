import { cpus, loadavg, platform, release } from "node:os";
import type { Finding } from "./finding.ts";
import type { Row } from "./rows.ts";

/** What was measured, and all that somebody needs to measure it again. */
export interface Report {
  readonly command: string;
  readonly date: string;
  readonly machine: Machine;
  readonly settings: Readonly<Record<string, number | string>>;
  readonly findings: readonly Finding[];
  /** Rates in signatures a second, by the title of their table. */
  readonly tables: Readonly<Record<string, readonly Row[]>>;
}

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly system: string;
  readonly node: string;
  /** Of the minute before the run: what else went on. */
  readonly loadBefore: number;
}

export function describeMachine(): Machine {
  const [first] = cpus();
  return {
    cpu: first?.model.trim() ?? "unknown",
    cores: cpus().length,
    system: `${platform()} ${release()}`,
    node: process.version,
    loadBefore: Number((loadavg()[0] ?? 0).toFixed(2)),
  };
}
