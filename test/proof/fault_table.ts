import type { Tally } from "../support/steady_load.ts";

/** One row: a fault, and what became of the requests that came before, during and after it. */
export interface FaultRow {
  readonly fault: string;
  readonly tally: Tally;
  /** From the end of the fault, in milliseconds. */
  readonly untilSigned: number;
  readonly wasRestarted: boolean;
}

const HEAD = [
  "fault, under a steady load of valid requests",
  "sent",
  "200",
  "503 with Retry-After",
  "wrong signatures",
  "without an answer",
  "ms to the next 200",
  "process restarted",
];

/** The table as the README has it. */
export function faultTable(rows: readonly FaultRow[]): string {
  const lines = rows.map(({ fault, tally, untilSigned, wasRestarted }) => [
    fault,
    tally.sent,
    tally.signed,
    tally.refused,
    tally.wrong,
    tally.unanswered,
    Math.round(untilSigned),
    wasRestarted ? "yes" : "no",
  ]);
  return [HEAD, HEAD.map(() => "---"), ...lines].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}
