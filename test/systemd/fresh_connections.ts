import { randomBytes } from "node:crypto";
import { request } from "node:http";

/** What became of requests that each came on a connection of its own. */
export interface Fates {
  /** By status. */
  readonly answers: Readonly<Record<string, number>>;
  /** By the code of the error: ECONNREFUSED where nobody listened. */
  readonly failures: Readonly<Record<string, number>>;
}

/** Requests for signatures, several at once, each on a new connection, until somebody says stop. */
export class FreshConnections {
  readonly #url: string;
  readonly #running: Promise<unknown>;
  readonly #answers: Record<string, number> = {};
  readonly #failures: Record<string, number> = {};
  #isStopped = false;

  constructor(url: string, concurrency: number) {
    this.#url = url;
    this.#running = Promise.all(Array.from({ length: concurrency }, () => this.#run()));
  }

  get signed(): number {
    return this.#answers["200"] ?? 0;
  }

  async stop(): Promise<Fates> {
    this.#isStopped = true;
    await this.#running;
    return { answers: this.#answers, failures: this.#failures };
  }

  async #run(): Promise<void> {
    while (!this.#isStopped) {
      try {
        count(this.#answers, await this.#ask());
      } catch (error) {
        count(this.#failures, error instanceof Error && "code" in error ? String(error.code) : String(error));
      }
    }
  }

  #ask(): Promise<string> {
    const headers = { "content-type": "application/json" };
    return new Promise((resolve, reject) => {
      const asked = request(`${this.#url}/sign`, { method: "POST", agent: false, headers }, (response) => {
        response.resume().once("end", () => resolve(String(response.statusCode)));
        response.once("error", reject);
      });
      asked.once("error", reject);
      asked.end(JSON.stringify({ hash: randomBytes(32).toString("hex") }));
    });
  }
}

function count(counts: Record<string, number>, name: string): void {
  counts[name] = (counts[name] ?? 0) + 1;
}
