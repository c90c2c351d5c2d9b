import { createHash } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { type KeyAlgorithmName, signatureAlgorithm } from "../../lib/algorithms.ts";
import { isSignatureOver } from "../../test/support/container.ts";
import type { Taken } from "../measure/finding.ts";
import type { Sample } from "../measure/judge.ts";
import { UsageObserver } from "../measure/usage.ts";
import { readTokenShare } from "../service/token_share.ts";
import { Client, type Server } from "./client.ts";
import { type PreparedRequest, prepareRequest, type RequestKind } from "./requests.ts";
import { serveJob } from "./worker.ts";

/**
 * The load that never pauses: connections that each send the next request when the answer to the last one is
 * complete. A process for one round.
 */

export interface LoadJob {
  readonly server: Server;
  readonly request: RequestKind;
  readonly connections: number;
  readonly warmUpMs: number;
  /** How long it lasts then. */
  readonly measure: { readonly ms: number } | { readonly requests: number };
  /** Of so many answers one is kept. */
  readonly sampleEvery: number;
  /** Of so many answers one is verified here, with node:crypto. */
  readonly verify?: { readonly algorithm: KeyAlgorithmName; readonly every: number };
  /** Where the token's library adds up what it takes; see `CountedToken`. */
  readonly tokenSums?: string;
}

/** What is not said to be of all the time is of the time after the warm-up. */
export interface LoadResult extends Taken {
  readonly perSecond: number;
  /** Of all the time. */
  readonly answers: number;
  /** Of all the time, as what was verified is. */
  readonly samples: readonly Sample[];
  readonly verified: number;
  /** Of those, signatures that are none over what was asked for. */
  readonly wrong: number;
  /** CPU time of C_SignInit and C_Sign for one signature, in microseconds, where the token's library counts it. */
  readonly tokenMicros?: number;
}

async function measure(job: LoadJob): Promise<LoadResult> {
  const load = new Load(job);
  const clients = await Client.openAll(job.server, job.connections);
  // A connection that fails must end the round at once, not after its time.
  const running = Promise.all(clients.map((client) => load.run(client, prepareRequest(job.request))));
  await Promise.race([running, delay(job.warmUpMs)]);
  const observer = new UsageObserver(job.server.group);
  const shareOfToken = tokenObserver(job.tokenSums);
  const [count, cpu, start] = [load.count, process.cpuUsage(), performance.now()];
  await Promise.race([running, "ms" in job.measure ? delay(job.measure.ms) : load.reached]);
  const [requests, { user, system }, end] = [load.count - count, process.cpuUsage(cpu), performance.now()];
  const usage = observer.end();
  const tokenMicros = shareOfToken?.();
  load.stop();
  await running;
  return {
    perSecond: (requests * 1_000) / (end - start),
    requests,
    answers: load.count,
    usage,
    generatorMicros: (user + system) / requests,
    samples: load.samples,
    verified: load.verified,
    wrong: load.wrong,
    ...(tokenMicros === undefined ? {} : { tokenMicros }),
  };
}

/** @returns what says how much the token has taken for a signature since */
function tokenObserver(sums: string | undefined): (() => number) | undefined {
  if (sums === undefined) return undefined;
  const before = readTokenShare(sums);
  return () => {
    const { micros, signatures } = readTokenShare(sums);
    return (micros - before.micros) / (signatures - before.signatures);
  };
}

class Load {
  count = 0;
  verified = 0;
  wrong = 0;
  readonly samples: Sample[] = [];
  /** Resolves when there are as many answers as were asked for. */
  readonly reached: Promise<void>;
  readonly #limit: number;
  readonly #job: LoadJob;
  #tell: () => void = () => {};
  #stopped = false;

  constructor(job: LoadJob) {
    this.#job = job;
    this.#limit = "requests" in job.measure ? job.measure.requests : Number.POSITIVE_INFINITY;
    this.reached = new Promise((resolve) => {
      this.#tell = resolve;
    });
  }

  /** Ends every connection after the answer that it waits for, so that none is cut off inside the service. */
  stop(): void {
    this.#stopped = true;
  }

  async run(client: Client, request: PreparedRequest): Promise<void> {
    while (!this.#stopped) {
      request.renew();
      this.#take(request, await client.ask(request.bytes));
    }
    client.close();
  }

  #take(request: PreparedRequest, body: Buffer): void {
    const { sampleEvery, verify } = this.#job;
    this.count += 1;
    if (this.count === this.#limit) this.#tell();
    if (this.count % sampleEvery === 0) {
      this.samples.push({ document: request.document(), answer: body.toString() });
    }
    if (verify === undefined || this.count % verify.every !== 0) return;
    this.verified += 1;
    const { p7 }: { p7?: unknown } = JSON.parse(body.toString());
    const digest = createHash("sha256").update(request.document()).digest();
    const algorithm = signatureAlgorithm(verify.algorithm, "SHA-256");
    if (!isSignatureOver(digest, Buffer.from(String(p7), "base64"), algorithm)) this.wrong += 1;
  }
}

serveJob(measure);
