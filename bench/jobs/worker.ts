import { fork } from "node:child_process";

/**
 * A process of its own for one job: what is measured and what measures must not share a JavaScript thread.
 * The job goes in and the result comes back as one message each.
 */

/** No job takes nearly as long. */
const LIMIT_MS = 600_000;

/**
 * Runs a script that calls `serveJob`, with the loader of this process.
 *
 * @param script beside this file
 * @param environment what the process has besides the environment of this one
 * @throws Error when it ends without a result; what it says about that is on its standard error
 */
export function runJob<Job, Result>(
  script: string,
  job: Job,
  environment: Readonly<Record<string, string>> = {},
): Promise<Result> {
  const child = fork(new URL(script, import.meta.url), {
    env: { ...process.env, ...environment },
    serialization: "advanced",
    timeout: LIMIT_MS,
    // A session of its own: what it asks the scheduler for is for nothing else.
    detached: true,
  });
  return new Promise((resolve, reject) => {
    child.once("message", (result) => resolve(result as Result));
    child.once("error", reject);
    child.once("exit", (code, signal) => {
      // Nothing happens here after a result: a promise settles once.
      reject(new Error(`Cannot measure: ${script} ended with ${signal ?? code}`));
    });
    child.send(job as object);
  });
}

/** The other side: does one job, answers, ends. */
export function serveJob<Job, Result>(work: (job: Job) => Promise<Result>): void {
  // Also when whoever wanted the result is gone.
  process.once("disconnect", () => process.exit());
  process.once("message", async (job) => {
    const result = await work(job as Job);
    process.send?.(result, () => process.disconnect());
  });
}
