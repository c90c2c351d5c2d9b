import { writeFileSync } from "node:fs";
import { cpus, platform, release } from "node:os";
import type { Figure } from "./rounds.ts";

/** What was measured, and all that somebody needs to measure it again. */
export interface Report {
  readonly command: string;
  readonly date: string;
  readonly machine: Machine;
  readonly settings: Readonly<Record<string, number>>;
  /** By the name of the key algorithm. */
  readonly figures: Readonly<Record<string, readonly Figure[]>>;
}

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly system: string;
  readonly node: string;
}

export function describeMachine(): Machine {
  const [first] = cpus();
  return {
    cpu: first?.model.trim() ?? "unknown",
    cores: cpus().length,
    system: `${platform()} ${release()}`,
    node: process.version,
  };
}

const COLUMNS: readonly (readonly [title: string, cell: (figure: Figure) => string])[] = [
  ["", ({ name }) => name],
  ["per second", ({ perSecond }) => String(perSecond)],
  ["slowest – fastest", ({ slowest, fastest }) => `${slowest} – ${fastest}`],
  ["ratio to raw", ({ ratio }) => ratio.toFixed(2)],
  ["CPU µs", ({ cpuMicros }) => String(cpuMicros ?? "")],
  ["generator's CPU µs", ({ generatorMicros }) => String(generatorMicros ?? "")],
];

/** A table for a person to read, with the line feeds. */
export function table(title: string, figures: readonly Figure[]): string {
  const rows = [COLUMNS.map(([name]) => name), ...figures.map((f) => COLUMNS.map(([, cell]) => cell(f)))];
  const widths = COLUMNS.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const lines = rows.map((row) =>
    row
      .map((text, column) =>
        column === 0 ? text.padEnd(widths[column] ?? 0) : text.padStart(widths[column] ?? 0),
      )
      .join("   "),
  );
  return `${title}\n${lines.map((line) => `  ${line}\n`).join("")}`;
}

export function writeReport(path: URL, report: Report): void {
  writeFileSync(path, `${JSON.stringify(report, undefined, 2)}\n`);
}
