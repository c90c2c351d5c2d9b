import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import type { SignatureAlgorithm } from "../../lib/algorithms.ts";
import { isSignatureOver } from "./container.ts";

export interface SteadyLoadOptions {
  readonly url: string;
  readonly algorithm: SignatureAlgorithm;
  /** Requests under way at once. */
  readonly concurrency: number;
  /** Of the request's query, with its question mark. */
  readonly query?: string;
  readonly authorization?: string;
}

/** What became of the requests of a load. */
export interface Tally {
  readonly sent: number;
  readonly signed: number;
  /** The digests of those, in hexadecimal digits. */
  readonly digests: readonly string[];
  /** 503 with Retry-After. */
  readonly refused: number;
  /** The codes of those. */
  readonly refusals: readonly string[];
  /** Answers 200 whose signature is not one over the digest that was sent. */
  readonly wrong: number;
  /** Requests that got no answer at all. */
  readonly unanswered: number;
  /** What any other answer was. */
  readonly others: readonly string[];
}

/** Who was refused comes again after a while, as clients do. */
const PAUSE_MS = 20;
const ANSWER_LIMIT_MS = 60_000;

/** Valid requests, a few at once, from now until it is stopped; each answer is looked at. */
export class SteadyLoad {
  readonly #options: SteadyLoadOptions;
  readonly #running: Promise<unknown>;
  #isStopped = false;
  #sent = 0;
  readonly #digests: string[] = [];
  readonly #refusals: string[] = [];
  #wrong = 0;
  #unanswered = 0;
  readonly #others: string[] = [];
  #waiters: { readonly since: number; readonly resolve: () => void }[] = [];

  constructor(options: SteadyLoadOptions) {
    this.#options = options;
    this.#running = Promise.all(Array.from({ length: options.concurrency }, () => this.#run()));
  }

  get tally(): Tally {
    return {
      sent: this.#sent,
      signed: this.#digests.length,
      digests: this.#digests,
      refused: this.#refusals.length,
      refusals: this.#refusals,
      wrong: this.#wrong,
      unanswered: this.#unanswered,
      others: this.#others,
    };
  }

  /** Resolves at the next answer 200 to a request that is sent from now on. */
  nextSigned(): Promise<void> {
    return new Promise((resolve) => this.#waiters.push({ since: performance.now(), resolve }));
  }

  /** Waits until so many more requests were answered, in whatever way. */
  async answers(count: number): Promise<void> {
    const answered = (): number => this.#digests.length + this.#refusals.length + this.#others.length;
    const target = answered() + count;
    while (answered() < target) await delay(1);
  }

  /** Ends it when all requests under way are answered. */
  async stop(): Promise<Tally> {
    this.#isStopped = true;
    await this.#running;
    return this.tally;
  }

  async #run(): Promise<void> {
    while (!this.#isStopped) {
      const digest = randomBytes(this.#options.algorithm.hash.length);
      const start = performance.now();
      this.#sent += 1;
      try {
        await this.#take(await this.#send(digest), digest, start);
      } catch (error) {
        this.#unanswered += 1;
        this.#others.push(String(error));
        await delay(PAUSE_MS);
      }
    }
  }

  #send(digest: Buffer): Promise<Response> {
    const { url, query = "", authorization } = this.#options;
    return fetch(`${url}/sign${query}`, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        accept: "application/cms",
        ...(authorization === undefined ? {} : { authorization }),
      },
      body: JSON.stringify({ hash: digest.toString("hex") }),
      signal: AbortSignal.timeout(ANSWER_LIMIT_MS),
    });
  }

  async #take(response: Response, digest: Buffer, start: number): Promise<void> {
    const body = Buffer.from(await response.arrayBuffer());
    if (response.status === 200) {
      this.#digests.push(digest.toString("hex"));
      if (!isSignatureOver(digest, body, this.#options.algorithm)) this.#wrong += 1;
      const met = this.#waiters.filter(({ since }) => since <= start);
      this.#waiters = this.#waiters.filter((waiter) => !met.includes(waiter));
      for (const { resolve } of met) resolve();
      return;
    }
    if (response.status === 503 && response.headers.has("retry-after")) this.#refusals.push(codeIn(body));
    else this.#others.push(`${response.status} ${body}`);
    await delay(PAUSE_MS);
  }
}

function codeIn(problem: Buffer): string {
  const { code }: { code?: unknown } = JSON.parse(problem.toString());
  return String(code);
}
