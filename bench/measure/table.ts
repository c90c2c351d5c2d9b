import type { Finding, Target } from "./finding.ts";
import type { Row } from "./rows.ts";

/** Tables for a person to read, with the line feeds. */

type Column<T> = readonly [title: string, cell: (item: T) => string];

const ROW_COLUMNS: readonly Column<Row>[] = [
  ["per second", (row) => String(row.perSecond)],
  ["slowest – fastest", ({ slowest, fastest }) => `${slowest} – ${fastest}`],
  ["of the first", ({ ratio }) => ratio.toFixed(2)],
  ["CPU µs", ({ cpuMicros }) => String(cpuMicros)],
  ["generator's CPU µs", ({ generatorMicros }) => String(generatorMicros ?? "")],
];

const FINDING_COLUMNS: readonly Column<Finding>[] = [
  ["measured", ({ value, unit }) => `${value} ${unit}`],
  ["target", ({ target, unit }) => `${targetText(target)} ${unit}`],
  ["", ({ isMet }) => (isMet ? "met" : "NOT MET")],
];

export function rateTable(title: string, rows: readonly Row[]): string {
  return table(title, [["", ({ name }) => name], ...ROW_COLUMNS], rows);
}

export function findingTable(title: string, findings: readonly Finding[]): string {
  return table(title, [["", ({ figure }) => figure], ...FINDING_COLUMNS], findings);
}

/** What was measured for each figure, and what bounds those that are not what they should be. */
export function explanations(findings: readonly Finding[]): string {
  const missed = findings.filter(({ isMet, bound }) => !isMet && bound !== undefined);
  return findings
    .map((finding) => {
      const before = missed[missed.indexOf(finding) - 1];
      const bound = before?.bound === finding.bound ? "the same" : finding.bound;
      const reason = missed.includes(finding) ? `\n      bound by ${bound}` : "";
      return `  ${finding.figure}\n      ${finding.how}${reason}\n`;
    })
    .join("");
}

export function targetText(target: Target): string {
  return "atLeast" in target ? `≥ ${target.atLeast}` : `≤ ${target.atMost}`;
}

/** The first column to the left, the others to the right. */
function table<T>(title: string, columns: readonly Column<T>[], items: readonly T[]): string {
  const rows = [columns.map(([name]) => name), ...items.map((item) => columns.map(([, cell]) => cell(item)))];
  const widths = columns.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row
      .map((text, column) =>
        column === 0 ? text.padEnd(widths[0] ?? 0) : text.padStart(widths[column] ?? 0),
      )
      .join("   ");
  return `${title}\n${rows.map((row) => `  ${line(row)}\n`).join("")}`;
}
