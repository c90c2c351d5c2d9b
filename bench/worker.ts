import { fork } from "node:child_process";

/**
 * A process of its own for one job: what is measured and what measures must not share a JavaScript thread.
 * The job goes in and the result comes back as one message each.
 */

/**
 * Runs a script that calls `serveJob`, with the loader of this process.
 *
 * @param environment what the process has besides the environment of this one
 * @throws Error when it ends without a result; what it says about that is on its standard error
 */
export function runJob<Job, Result>(
  script: URL,
  job: Job,
  environment: Readonly<Record<string, string>> = {},
): Promise<Result> {
  const child = fork(script, { env: { ...process.env, ...environment }, serialization: "advanced" });
  return new Promise((resolve, reject) => {
    child.once("message", (result) => resolve(result as Result));
    child.once("error", reject);
    child.once("exit", (code, signal) => {
      // Nothing happens here after a result: a promise settles once.
      reject(new Error(`Cannot measure: ${script.pathname.split("/").pop()} ended with ${signal ?? code}`));
    });
    child.send(job as object);
  });
}

/** The other side: does one job, answers, ends. */
export function serveJob<Job, Result>(work: (job: Job) => Promise<Result>): void {
  process.once("message", async (job) => {
    const result = await work(job as Job);
    process.send?.(result, () => process.disconnect());
  });
}
