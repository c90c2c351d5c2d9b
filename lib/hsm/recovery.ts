import { randomInt } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { messageOf, SignerError } from "../errors.ts";
import type { Log } from "../log.ts";

export interface RecoveryOptions {
  /**
   * One attempt.
   *
   * @param attempt from 1 on
   * @throws SignerError with the reason when it failed
   */
  attempt(attempt: number): Promise<void>;
  readonly log: Log;
  /** The wait after the first failed attempt, in milliseconds; it doubles up to `maxDelayMs`. */
  readonly firstDelayMs: number;
  readonly maxDelayMs: number;
}

/**
 * Brings the token back: one recovery at a time, however many ask for it, attempt after attempt with back-off
 * and jitter. A refused PIN ends it for good, since a further login brings the user nearer to being locked.
 */
export class Recovery {
  readonly #options: RecoveryOptions;
  #running: Promise<void> | undefined;
  /** Why the last attempt of the running recovery failed, or why there will be none. */
  #failure: SignerError | undefined;
  readonly #stop = new AbortController();

  constructor(options: RecoveryOptions) {
    this.#options = options;
  }

  /** Whether the token is known to be away. */
  get isRunning(): boolean {
    return this.#running !== undefined;
  }

  get isStopped(): boolean {
    return this.#stop.signal.aborted;
  }

  /**
   * Resolves when the token is back. Who comes while the first attempt runs waits for it; who comes after it
   * failed is told at once, and the attempts go on without him.
   *
   * @throws SignerError `ERR_TOKEN_UNAVAILABLE` or `ERR_PIN_REJECTED`, with the reason
   */
  async run(): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    this.#running ??= this.#firstAttempt();
    await this.#running;
  }

  /** Waits while a recovery is under way, as `run` does, and begins none. */
  async settled(): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    await this.#running;
  }

  /**
   * Begins the attempts anew that a refused PIN had ended, since somebody has acted; otherwise waits for what is
   * under way.
   *
   * @throws SignerError as `run` does
   */
  resume(): Promise<void> {
    if (this.#failure?.code !== "ERR_PIN_REJECTED" || this.isStopped) return this.settled();
    this.#failure = undefined;
    this.#running = undefined;
    return this.run();
  }

  /** No attempts any more. */
  stop(): void {
    this.#stop.abort();
  }

  async #firstAttempt(): Promise<void> {
    try {
      await this.#attempt(1);
    } catch (error) {
      void this.#furtherAttempts();
      throw error;
    }
  }

  async #furtherAttempts(): Promise<void> {
    const { firstDelayMs, maxDelayMs, log } = this.#options;
    for (let attempt = 2; this.#failure?.code !== "ERR_PIN_REJECTED"; attempt += 1) {
      const limit = Math.min(firstDelayMs * 2 ** (attempt - 2), maxDelayMs);
      try {
        await delay(randomInt(Math.ceil(limit / 2), limit + 1), undefined, {
          signal: this.#stop.signal,
          ref: false,
        });
        await this.#attempt(attempt);
        return;
      } catch {
        // A failed attempt is in the log, and its reason kept for those who ask.
        if (this.#stop.signal.aborted) return;
      }
    }
    log("error", "token.given_up", {
      reason: this.#failure,
      advice: "correct the PIN, then reload (SIGHUP) or restart",
    });
  }

  async #attempt(attempt: number): Promise<void> {
    const { log } = this.#options;
    try {
      await this.#options.attempt(attempt);
      this.#failure = undefined;
      this.#running = undefined;
      log("info", "token.recovered", { attempt });
    } catch (error) {
      const isRefusal = error instanceof SignerError && error.code === "ERR_PIN_REJECTED";
      this.#failure = new SignerError(
        isRefusal ? "ERR_PIN_REJECTED" : "ERR_TOKEN_UNAVAILABLE",
        `Cannot bring the token back: ${messageOf(error)}`,
        { cause: error },
      );
      log("error", "token.recovery_failed", { attempt, reason: error });
      throw this.#failure;
    }
  }
}
