import type { KeyAlgorithmName } from "../../lib/algorithms.ts";
import { type Bench, SESSIONS, threadsFor } from "../bench.ts";
import type { RawLoopJob, RawLoopResult } from "../jobs/raw_loop.ts";
import type { TokenJob } from "../jobs/token_lanes.ts";
import type { TokenLoopResult } from "../jobs/token_loop.ts";
import { runJob } from "../jobs/worker.ts";

/** A round of C_SignInit and C_Sign on all sessions at once. */
export function rawLoop(
  bench: Bench,
  algorithm: KeyAlgorithmName,
  certificatePem: string,
): Promise<RawLoopResult> {
  const job: RawLoopJob = { ...tokenJob(bench, algorithm, certificatePem), sessions: SESSIONS };
  const threads = { UV_THREADPOOL_SIZE: threadsFor(SESSIONS) };
  return runJob("raw_loop.ts", job, { ...bench.token.environment, ...threads });
}

/** A round of C_SignInit and C_Sign one after the other. */
export function tokenLoop(
  bench: Bench,
  algorithm: KeyAlgorithmName,
  certificatePem: string,
): Promise<TokenLoopResult> {
  return runJob("token_loop.ts", tokenJob(bench, algorithm, certificatePem), bench.token.environment);
}

function tokenJob({ token, options }: Bench, algorithm: KeyAlgorithmName, certificatePem: string): TokenJob {
  return {
    modulePath: token.modulePath,
    tokenLabel: token.label,
    pin: token.pin,
    keyLabel: algorithm,
    algorithm,
    certificatePem,
    warmUpMs: options.warmUpMs,
    measureMs: options.measureMs,
  };
}
