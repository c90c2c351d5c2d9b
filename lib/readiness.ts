import { messageOf, SignerError } from "./errors.ts";
import type { Log } from "./log.ts";

export interface ReadinessOptions {
  /** One real signature. */
  probe(): Promise<unknown>;
  /** How long a probe may take, in milliseconds. */
  readonly deadlineMs: number;
  /**
   * How long an answer is good for once it is there, in milliseconds: anybody may ask, and a probe costs a
   * signature.
   */
  readonly validityMs: number;
  readonly log: Log;
  /** Milliseconds on a clock that only goes forward. */
  readonly clock?: () => number;
}

/** Whether the token signs, found out by signing: one probe at a time, however many ask. */
export class Readiness {
  readonly #options: ReadinessOptions;
  readonly #clock: () => number;
  #answer: Promise<void> | undefined;
  /** Until the answer is there, nobody asks anew. */
  #goodUntil = Number.POSITIVE_INFINITY;
  #running: Promise<unknown> | undefined;
  #wasReady = true;

  constructor(options: ReadinessOptions) {
    this.#options = options;
    this.#clock = options.clock ?? (() => performance.now());
  }

  /** @throws SignerError with the reason when the token does not sign */
  async check(): Promise<void> {
    if (this.#answer === undefined || this.#clock() >= this.#goodUntil) {
      this.#goodUntil = Number.POSITIVE_INFINITY;
      this.#answer = this.#ask().finally(() => {
        this.#goodUntil = this.#clock() + this.#options.validityMs;
      });
    }
    await this.#answer;
  }

  async #ask(): Promise<void> {
    const { deadlineMs, log } = this.#options;
    let timer: NodeJS.Timeout | undefined;
    const deadline = new Promise<never>((_, reject) => {
      const late = new SignerError("ERR_SIGN_TIMEOUT", `Cannot sign: no answer for ${deadlineMs} ms`);
      timer = setTimeout(() => reject(late), deadlineMs);
    });
    try {
      await Promise.race([this.#probe(), deadline]);
      if (!this.#wasReady) log("info", "ready.again");
      this.#wasReady = true;
    } catch (error) {
      if (this.#wasReady) log("error", "ready.no_more", { reason: messageOf(error) });
      this.#wasReady = false;
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** The probe under way, or a new one: one that is late is waited for again, and not doubled. */
  #probe(): Promise<unknown> {
    this.#running ??= this.#options.probe().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }
}
