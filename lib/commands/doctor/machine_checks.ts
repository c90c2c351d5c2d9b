import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import type { Examined } from "./examined.ts";
import { need, type Outcome, ok, skipped, warning } from "./finding.ts";

const SECOND_MS = 1_000;
const TOKEN_TOLERANCE_MS = 60 * SECOND_MS;
const TOOL_LIMIT_MS = 3 * SECOND_MS;
/** Of a process that serves, besides those that sign. */
const OTHER_THREADS = 32;

/** Whether this machine's clock is plausible: it dates the signatures, and decides what has expired. */
export async function* checkClock(examined: Examined): AsyncGenerator<Outcome> {
  yield againstCertificates(examined.context.now(), examined.beginnings);
  if (examined.tokenClockAhead !== undefined) yield againstToken(examined.tokenClockAhead);
  yield await synchronization(examined.context.environment["PATH"]);
}

function againstCertificates(now: Date, beginnings: readonly Date[]): Outcome {
  const time = now.toISOString();
  const latest = beginnings.toSorted((a, b) => a.getTime() - b.getTime()).at(-1);
  if (latest === undefined) return ok(`${time}; there is no certificate to compare it with`);
  if (now >= latest) return ok(`${time}, after the beginning of every certificate`);
  return warning(
    `${time} is earlier than the beginning of a certificate, ${latest.toISOString()}`,
    "Set the clock, and have it kept by NTP; if it is right, the certificate was made for later.",
  );
}

function againstToken(ahead: number): Outcome {
  const seconds = Math.round(Math.abs(ahead) / SECOND_MS);
  const found = `the token's own clock is ${seconds} s ${ahead < 0 ? "behind" : "ahead"}`;
  if (Math.abs(ahead) <= TOKEN_TOLERANCE_MS) return ok(found);
  return warning(found, "Find out which of the two is wrong, and set it.");
}

/** What asks the system about its clock, and what the answer says. */
const TOOLS: readonly {
  readonly command: string;
  readonly args: readonly string[];
  readonly synchronized: RegExp;
  readonly not: RegExp;
}[] = [
  {
    command: "timedatectl",
    args: ["show", "-p", "NTPSynchronized", "--value"],
    synchronized: /^yes$/m,
    not: /^no$/m,
  },
  {
    command: "chronyc",
    args: ["-n", "tracking"],
    synchronized: /^Leap status\s*: (Normal|Insert second|Delete second)$/m,
    not: /^Leap status\s*: Not synchronised$/m,
  },
];

async function synchronization(path: string | undefined): Promise<Outcome> {
  const advice = "Have the clock kept by NTP (chrony, systemd-timesyncd).";
  for (const { command, args, synchronized, not } of TOOLS) {
    const answer = await answerOf(command, args, path);
    if (synchronized.test(answer)) return ok(`synchronized, says ${command}`);
    if (not.test(answer)) return warning(`not synchronized, says ${command}`, advice);
  }
  return skipped("whether it is synchronized: not known, neither timedatectl nor chronyc says so", advice);
}

/** What a program prints; nothing where there is none. */
function answerOf(command: string, args: readonly string[], path = ""): Promise<string> {
  const options = { env: { PATH: path, LC_ALL: "C" }, timeout: TOOL_LIMIT_MS, encoding: "utf8" } as const;
  return new Promise((resolve) => {
    execFile(command, args, options, (_error, output) => resolve(output ?? ""));
  });
}

/** Whether the system lets every session sign at the same time: each takes a thread of its own. */
export function* checkThreads({ known }: Examined): Generator<Outcome> {
  yield judgeThreads(need(known.sessions, "HSM_SESSIONS"), threadLimit());
}

/** @param limit of threads; `undefined` where it is not known */
export function judgeThreads(sessions: number, limit: number | undefined): Outcome {
  if (limit === undefined) return skipped("how many threads there may be is not known here");
  if (limit >= sessions + OTHER_THREADS)
    return ok(`${sessions} sessions sign at once, each on a thread of its own`);
  return warning(
    `the system allows ${limit} threads: too few for ${sessions} sessions, each with one, and some ${OTHER_THREADS} others`,
    "Raise TasksMax of the unit and the limit of processes (ulimit -u), or lower HSM_SESSIONS.",
  );
}

/** The lower one of the user's limit (setrlimit(2)) and the control group's (cgroups(7)). */
function threadLimit(): number | undefined {
  try {
    const [, own = "unlimited"] =
      /^Max processes +(\S+)/m.exec(readFileSync("/proc/self/limits", "utf8")) ?? [];
    const [, group] = /^0::(.*)$/m.exec(readFileSync("/proc/self/cgroup", "utf8")) ?? [];
    const path = `/sys/fs/cgroup${group}/pids.max`;
    const shared = group !== undefined && existsSync(path) ? readFileSync(path, "utf8").trim() : "max";
    return Math.min(
      ...[own, shared].map((text) => (/^\d+$/.test(text) ? Number(text) : Number.POSITIVE_INFINITY)),
    );
  } catch {
    return undefined;
  }
}
