import { execFile } from "node:child_process";
import { sizeThreadPool, threadsFor } from "../../runtime.ts";
import type { Examined } from "./examined.ts";
import { need, type Outcome, ok, skipped, warning } from "./finding.ts";

const SECOND_MS = 1_000;
const TOKEN_TOLERANCE_MS = 60 * SECOND_MS;
const TOOL_LIMIT_MS = 3 * SECOND_MS;

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

/** Whether every session can sign at the same time. */
export function* checkThreadPool({ known, context }: Examined): Generator<Outcome> {
  const sessions = need(known.sessions, "HSM_SESSIONS");
  const wanted = threadsFor(sessions);
  // A copy: what is found out here is what a service would find, and nothing is changed.
  const { threads } = sizeThreadPool(wanted, { ...context.environment });
  if (threads === undefined) yield ok("grows as it is needed in this runtime");
  else if (threads >= sessions) yield ok(`${threads} threads for ${sessions} sessions (UV_THREADPOOL_SIZE)`);
  else {
    yield warning(
      `${threads} threads for ${sessions} sessions: no more signatures than threads are made at once`,
      `Start the service with UV_THREADPOOL_SIZE=${wanted}.`,
    );
  }
}
