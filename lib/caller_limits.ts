import type { LimitsConfig } from "./config/limits.ts";
import { SignerError } from "./errors.ts";

interface Account {
  /** Requests that he may still make at once. */
  credit: number;
  /** When that was so. */
  at: number;
  inFlight: number;
}

/** Callers of whom something is remembered before somebody looks who of them can be forgotten. */
const FEW = 256;
/** There is no telling when a request of his will be answered. */
const IN_FLIGHT_RETRY_SECONDS = 1;

/** What each caller may take of the service: a rate, as a bucket that fills up again, and requests in flight. */
export class CallerLimits {
  #config: LimitsConfig;
  /** In seconds. */
  readonly #clock: () => number;
  readonly #accounts = new Map<string, Account>();
  #cleanAt = FEW;

  /** @param clock seconds, only forward */
  constructor(config: LimitsConfig, clock: () => number = () => performance.now() / 1000) {
    this.#config = config;
    this.#clock = clock;
  }

  /** Callers of whom something is remembered. */
  get callers(): number {
    return this.#accounts.size;
  }

  /** What holds from now on; who has requests in flight keeps them. */
  configure(config: LimitsConfig): void {
    this.#config = config;
  }

  /**
   * Takes a request in.
   *
   * @returns what has to be called once, when it is answered
   * @throws SignerError `ERR_RATE_LIMITED`, `ERR_TOO_MANY_REQUESTS_IN_FLIGHT`
   */
  admit(caller: string): () => void {
    const { rate, burst, inFlight } = this.#config;
    if (rate === undefined && inFlight === undefined) return nothing;
    const account = this.#accountOf(caller);
    if (inFlight !== undefined && account.inFlight >= inFlight) {
      throw new SignerError(
        "ERR_TOO_MANY_REQUESTS_IN_FLIGHT",
        `Cannot take the request: ${inFlight} others of this caller are not answered yet`,
        { retryAfter: IN_FLIGHT_RETRY_SECONDS },
      );
    }
    if (rate !== undefined) {
      this.#fill(account);
      if (account.credit < 1) {
        throw new SignerError(
          "ERR_RATE_LIMITED",
          `Cannot take the request: this caller may make ${rate} a second, and ${burst} at once`,
          { retryAfter: Math.ceil((1 - account.credit) / rate) },
        );
      }
      account.credit -= 1;
    }
    account.inFlight += 1;
    return () => {
      account.inFlight -= 1;
    };
  }

  #accountOf(caller: string): Account {
    const known = this.#accounts.get(caller);
    if (known !== undefined) return known;
    if (this.#accounts.size >= this.#cleanAt) this.#forgetIdle();
    const account: Account = { credit: this.#config.burst, at: this.#clock(), inFlight: 0 };
    this.#accounts.set(caller, account);
    return account;
  }

  #fill(account: Account): void {
    const { rate = 0, burst } = this.#config;
    const now = this.#clock();
    account.credit = Math.min(burst, account.credit + (now - account.at) * rate);
    account.at = now;
  }

  /** Of a caller who has nothing in flight and all his credit, nothing need be known. */
  #forgetIdle(): void {
    for (const [caller, account] of this.#accounts) {
      this.#fill(account);
      if (account.inFlight === 0 && account.credit >= this.#config.burst) this.#accounts.delete(caller);
    }
    this.#cleanAt = Math.max(FEW, 2 * this.#accounts.size);
  }
}

function nothing(): void {}
