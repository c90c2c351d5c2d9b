import { setTimeout as delay } from "node:timers/promises";
import { closeToken, type Lane, type OpenToken, openToken, type TokenJob } from "./token_lanes.ts";
import { serveJob } from "./worker.ts";

/**
 * The base of comparison: C_SignInit and asynchronous C_Sign of pkcs11js on every session at once, over and
 * over, with nothing between. A process for one round.
 */

export interface RawLoopJob extends TokenJob {
  readonly sessions: number;
}

export interface RawLoopResult {
  readonly perSecond: number;
  /** User and system time of the process for one signature, in microseconds. */
  readonly cpuMicros: number;
}

async function measure(job: RawLoopJob): Promise<RawLoopResult> {
  const token = openToken(job, job.sessions);
  const loop = new RawLoop(token);
  const running = token.lanes.map((lane) => loop.run(lane));
  await delay(job.warmUpMs);
  const [count, cpu, start] = [loop.count, process.cpuUsage(), performance.now()];
  await delay(job.measureMs);
  const [signatures, { user, system }, end] = [loop.count - count, process.cpuUsage(cpu), performance.now()];
  loop.stop();
  await Promise.all(running);
  closeToken(token, job);
  return { perSecond: (signatures * 1_000) / (end - start), cpuMicros: (user + system) / signatures };
}

class RawLoop {
  count = 0;
  #stopped = false;
  readonly #token: OpenToken;

  constructor(token: OpenToken) {
    this.#token = token;
  }

  stop(): void {
    this.#stopped = true;
  }

  run({ session, input, output }: Lane): Promise<void> {
    const { library, mechanism, key } = this.#token;
    return new Promise((resolve, reject) => {
      const next = (): void => {
        library.C_SignInit(session, mechanism, key);
        library.C_Sign(session, input, output, (error: Error | null) => {
          if (error) return reject(error);
          this.count += 1;
          if (this.#stopped) resolve();
          else next();
        });
      };
      next();
    });
  }
}

serveJob(measure);
