import type { Finding, Status } from "./finding.ts";
import { layOut } from "./layout.ts";

export interface ReportOptions {
  readonly asJson: boolean;
  readonly inColours: boolean;
  /** Takes what is to be shown, one line or several, without its last line feed. */
  print(text: string): void;
}

/** What was found so far, shown as it comes, or as one JSON document at the end. */
export class Report {
  readonly findings: Finding[] = [];
  readonly #options: ReportOptions;

  constructor(options: ReportOptions) {
    this.#options = options;
  }

  add(finding: Finding): void {
    this.findings.push(finding);
    if (!this.#options.asJson) this.#options.print(layOut(finding, this.#options.inColours));
  }

  /** Says the last word. */
  end(): void {
    this.#options.print(this.#ending(this.findings));
  }

  /** What there would be to print if these findings were the last ones; with its last line feed. */
  endingWith(further: readonly Finding[]): string {
    const { asJson, inColours } = this.#options;
    const lines = asJson ? [] : further.map((finding) => layOut(finding, inColours));
    return `${[...lines, this.#ending([...this.findings, ...further])].join("\n")}\n`;
  }

  #ending(findings: readonly Finding[]): string {
    if (this.#options.asJson) return JSON.stringify({ ok: isGood(findings), checks: findings }, null, 2);
    return `\n${summary(findings)}`;
  }
}

/** Whether nothing failed. */
export function isGood(findings: readonly Finding[]): boolean {
  return findings.every(({ status }) => status !== "failure");
}

function summary(findings: readonly Finding[]): string {
  const those = (status: Status): readonly Finding[] =>
    findings.filter((finding) => finding.status === status);
  const [good, warnings, failures, skipped] = [
    those("ok"),
    those("warning"),
    those("failure"),
    those("skipped"),
  ];
  if (good.length === findings.length) return `All is well: ${good.length} checks.`;
  const parts = [
    failures.length === 0 ? "No failure" : named(failures, "failure"),
    ...(warnings.length === 0 ? [] : [named(warnings, "warning")]),
    ...(skipped.length === 0 ? [] : [`${skipped.length} not checked`]),
  ];
  return `${parts.join(", ")}; ${good.length} ok.`;
}

function named(findings: readonly Finding[], noun: string): string {
  const names = findings.map(({ check, credential }) =>
    credential === undefined ? check : `${check} of ${credential}`,
  );
  const plural = findings.length === 1 ? noun : `${noun}s`;
  return `${findings.length} ${plural} (${[...new Set(names)].join(", ")})`;
}
