import type { Finding, Status } from "./finding.ts";

const WIDTH = 80;
/** Of the two columns before the text, with the space behind each. */
const STATUS_WIDTH = "warning".length + 2;
const CHECK_WIDTH = "initialization".length + 2;
const INDENT = " ".repeat(STATUS_WIDTH + CHECK_WIDTH);
const TEXT_WIDTH = WIDTH - INDENT.length;
const ARROW = "→ ";

/** Select Graphic Rendition (ECMA-48 §8.3.117). */
const COLOURS: Readonly<Record<Status, string>> = {
  ok: "\u001b[32m",
  warning: "\u001b[33m",
  failure: "\u001b[31m",
  skipped: "\u001b[2m",
};
const PLAIN = "\u001b[0m";

/** Whether to write in colours: https://no-color.org. */
export function wantsColours(
  isTerminal: boolean,
  { NO_COLOR }: { readonly NO_COLOR?: string | undefined },
): boolean {
  return isTerminal && !NO_COLOR;
}

/** A finding for a person: lines of at most 80 columns where its words allow it, what was found and what to do. */
export function layOut({ status, check, credential, found, advice }: Finding, inColours: boolean): string {
  const head = status.padEnd(STATUS_WIDTH);
  const about = credential === undefined ? "" : `${credential}: `;
  const [first = "", ...others] = wrap(about + found, TEXT_WIDTH);
  const advised = advice === undefined ? [] : wrap(advice, TEXT_WIDTH - ARROW.length);
  return [
    `${inColours ? `${COLOURS[status]}${head}${PLAIN}` : head}${check.padEnd(CHECK_WIDTH)}${first}`,
    ...others.map((line) => INDENT + line),
    ...advised.map((line, index) => INDENT + (index === 0 ? ARROW : " ".repeat(ARROW.length)) + line),
  ].join("\n");
}

/**
 * Lines of whole words. What is to be copied stays whole: words that are longer than a line, such as a path, and
 * commands, which stand in backquotes.
 */
export function wrap(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  for (const word of printable(text).match(/`[^`]*`\S*|\S+/g) ?? []) {
    const line = lines.at(-1);
    if (line === undefined || line.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = `${line} ${word}`;
  }
  return lines;
}

/** What a library or a certificate calls itself must not steer the terminal. */
function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "?");
}
