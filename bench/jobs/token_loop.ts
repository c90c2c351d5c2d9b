import { median, quantile } from "../measure/rounds.ts";
import { closeToken, openToken, type TokenJob } from "./token_lanes.ts";
import { serveJob } from "./worker.ts";

/** The token's share of a signature: C_SignInit and C_Sign on one session, one after the other, on one thread. */

export interface TokenLoopResult {
  readonly perSecond: number;
  /** User and system time for one signature, in microseconds. */
  readonly cpuMicros: number;
  /** Median of the time that C_Sign took, in milliseconds. */
  readonly signMs: number;
  /** What 99 of 100 did not exceed: where that is far from the median, the machine itself stood still. */
  readonly signP99Ms: number;
}

async function measure(job: TokenJob): Promise<TokenLoopResult> {
  const token = openToken(job, 1);
  sign(job.warmUpMs);
  const [cpu, start] = [process.cpuUsage(), performance.now()];
  const times = sign(job.measureMs);
  const [{ user, system }, end] = [process.cpuUsage(cpu), performance.now()];
  closeToken(token, job);
  return {
    perSecond: (times.length * 1_000) / (end - start),
    cpuMicros: (user + system) / times.length,
    signMs: median(times),
    signP99Ms: quantile(times, 0.99),
  };

  function sign(forMs: number): number[] {
    const { library, mechanism, key, lanes } = token;
    const taken: number[] = [];
    const until = performance.now() + forMs;
    while (performance.now() < until) {
      for (const { session, input, output } of lanes) {
        library.C_SignInit(session, mechanism, key);
        const begin = performance.now();
        library.C_Sign(session, input, output);
        taken.push(performance.now() - begin);
      }
    }
    return taken;
  }
}

serveJob(measure);
