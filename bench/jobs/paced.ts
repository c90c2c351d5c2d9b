import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, writeFileSync } from "node:fs";
import { setPriority } from "node:os";
import type { Sample } from "../measure/judge.ts";
import { quantile } from "../measure/rounds.ts";
import { type Usage, UsageObserver } from "../measure/usage.ts";
import { Client, type Server } from "./client.ts";
import { type PreparedRequest, prepareRequest, type RequestKind } from "./requests.ts";
import { serveJob } from "./worker.ts";

/**
 * The load that does not wait for answers: so many requests a second, whatever becomes of them. What it takes is
 * the time from when a request is sent, or would have been if a connection had been free, to its answer.
 */

export interface PacedJob {
  readonly server: Server;
  readonly request: RequestKind;
  readonly perSecond: number;
  /** The program that says when a request is due: `pacer.c`. */
  readonly pacer: string;
  readonly connections: number;
  readonly warmUpMs: number;
  readonly measureMs: number;
}

/** Times are in milliseconds, and of the requests after the warm-up. */
export interface PacedResult {
  readonly requests: number;
  readonly medianMs: number;
  readonly p99Ms: number;
  /** How much later than planned the generator sent, since the machine is not exact. */
  readonly lagP99Ms: number;
  readonly usage: Usage;
  /** When it was measured, in milliseconds since 1970. */
  readonly begin: number;
  readonly end: number;
  /** Whether the generator had a core whenever it wanted one; otherwise latencies include what it waited. */
  readonly wentFirst: boolean;
  /** The last answer. */
  readonly samples: readonly Sample[];
}

const NS_PER_MS = 1e6;
/** Until the pacer is there. */
const HEAD_START_NS = 50 * NS_PER_MS;
/** Before everything else on the machine, as far as a process may ask for that. */
const FIRST = -15;
/** Where Linux weighs sessions, not processes (sched(7), "The autogroup feature"), this is of the session. */
const OF_SESSION = "/proc/self/autogroup";

/**
 * What a generator waits for a core is no latency of the service: in the field it has a machine of its own.
 *
 * @returns whether it may go first
 */
function goFirst(): boolean {
  try {
    setPriority(FIRST);
    if (existsSync(OF_SESSION)) writeFileSync(OF_SESSION, String(FIRST));
    return true;
  } catch {
    return false;
  }
}

async function measure(job: PacedJob): Promise<PacedResult> {
  const wentFirst = goFirst();
  const clients = await Client.openAll(job.server, job.connections);
  const load = new PacedLoad(clients, job);
  await load.run(job.warmUpMs);
  load.forget();
  const observer = new UsageObserver(job.server.group);
  const begin = Date.now();
  await load.run(job.measureMs);
  const usage = observer.end();
  const end = Date.now();
  await load.drain();
  for (const client of clients) client.close();
  const { latencies, lags, samples } = load;
  return {
    requests: latencies.length,
    medianMs: quantile(latencies, 0.5),
    p99Ms: quantile(latencies, 0.99),
    lagP99Ms: quantile(lags, 0.99),
    usage,
    begin,
    end,
    samples,
    wentFirst,
  };
}

interface Lane {
  readonly client: Client;
  readonly request: PreparedRequest;
}

class PacedLoad {
  latencies: number[] = [];
  lags: number[] = [];
  samples: Sample[] = [];
  readonly #idle: Lane[];
  readonly #intervalNs: number;
  readonly #pacer: string;
  readonly #underWay = new Set<Promise<void>>();
  /** When requests were due for which no connection was free. */
  readonly #waiting: number[] = [];
  #failure: unknown;

  constructor(clients: readonly Client[], { request, perSecond, pacer }: PacedJob) {
    this.#idle = clients.map((client) => ({ client, request: prepareRequest(request) }));
    this.#intervalNs = Math.round(NS_PER_MS * (1_000 / perSecond));
    this.#pacer = pacer;
  }

  /** Sends for so long; then there may be requests under way. */
  async run(forMs: number): Promise<void> {
    const start = process.hrtime.bigint() + BigInt(HEAD_START_NS);
    const number = Math.ceil((forMs * NS_PER_MS) / this.#intervalNs);
    const words = [start, this.#intervalNs, number].map(String);
    const pacer: ChildProcess = spawn(this.#pacer, words, { stdio: ["ignore", "pipe", "inherit"] });
    let sent = 0;
    pacer.stdout?.on("data", ({ length }: Buffer) => {
      for (let index = 0; index < length; index += 1) {
        const late = process.hrtime.bigint() - start - BigInt(sent * this.#intervalNs);
        sent += 1;
        this.#send(Number(late) / NS_PER_MS);
      }
    });
    const [code] = await once(pacer, "close");
    if (code !== 0) throw new Error(`Cannot measure: ${this.#pacer} ended with ${code}`);
    if (this.#failure !== undefined) throw this.#failure;
  }

  forget(): void {
    [this.latencies, this.lags, this.samples] = [[], [], []];
  }

  async drain(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.all(this.#underWay);
    if (this.#failure !== undefined) throw this.#failure;
  }

  #send(lateMs: number): void {
    this.lags.push(lateMs);
    this.#waiting.push(performance.now());
    this.#sendWaiting();
  }

  #sendWaiting(): void {
    const lane = this.#waiting.length > 0 ? this.#idle.pop() : undefined;
    if (lane === undefined) return;
    const asking = this.#ask(lane, this.#waiting.shift() ?? 0).catch((error) => {
      this.#failure = error;
    });
    this.#underWay.add(asking);
    asking.finally(() => this.#underWay.delete(asking));
  }

  async #ask(lane: Lane, since: number): Promise<void> {
    lane.request.renew();
    const body = await lane.client.ask(lane.request.bytes);
    this.latencies.push(performance.now() - since);
    this.samples = [{ document: lane.request.document(), answer: body.toString() }];
    this.#idle.push(lane);
    this.#sendWaiting();
  }
}

serveJob(measure);
