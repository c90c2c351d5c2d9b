import { isTrustworthy } from "../config/authentication.ts";
import { messageOf, SignerError } from "../errors.ts";
import type { Log } from "../log.ts";
import { fetchJson } from "./fetch_json.ts";
import { type KeySet, readKeySet } from "./key_set.ts";

/** Where the keys of an issuer come from. */
export interface KeySource {
  /** @throws SignerError `ERR_ISSUER_UNAVAILABLE` while there are none */
  current(): KeySet;
  /**
   * Looks whether there are other keys by now: asked for a token whose key is not among the current ones.
   *
   * @returns whether it is worth to look for the key again
   * @throws SignerError `ERR_ISSUER_UNAVAILABLE` when nobody can say
   */
  refresh(): Promise<boolean>;
  /** For a person who asks what is wrong. */
  facts(): Readonly<Record<string, unknown>>;
  close(): void;
}

export interface IssuerKeysOptions {
  readonly issuer: string;
  readonly log: Log;
  readonly times?: Partial<IssuerTimes>;
  /** Milliseconds on a clock that only goes forward. */
  readonly clock?: () => number;
}

/** All in milliseconds. */
export interface IssuerTimes {
  /** Between two looks at the keys, so that one that was withdrawn is not believed for long. */
  readonly refreshMs: number;
  /** After a failure, at first and at most. */
  readonly retryMs: number;
  readonly maxRetryMs: number;
  /** Between two looks for a key that is not there: anybody can make up a `kid`. */
  readonly cooldownMs: number;
  /** How long keys are believed while the issuer does not answer. */
  readonly staleMs: number;
  readonly fetchMs: number;
}

const STANDARD_TIMES: IssuerTimes = {
  refreshMs: 600_000,
  retryMs: 1_000,
  maxRetryMs: 60_000,
  cooldownMs: 30_000,
  staleMs: 24 * 3_600_000,
  fetchMs: 5_000,
};
const MAX_BYTES = 256 * 1024;

/**
 * The keys of an issuer by OIDC discovery (OpenID Connect Discovery 1.0 §4), looked at again and again. An issuer
 * that does not answer is no outage: its last keys are believed for a day.
 */
export class IssuerKeys implements KeySource {
  readonly #issuer: string;
  readonly #log: Log;
  readonly #times: IssuerTimes;
  readonly #clock: () => number;
  #keys: KeySet | undefined;
  #fetchedAt = Number.NEGATIVE_INFINITY;
  #triedAt = Number.NEGATIVE_INFINITY;
  /** Why the last look failed; `undefined` when it did not. */
  #problem: string | undefined;
  #failures = 0;
  #fetching: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor({ issuer, log, times, clock = () => performance.now() }: IssuerKeysOptions) {
    this.#issuer = issuer;
    this.#log = log;
    this.#times = { ...STANDARD_TIMES, ...times };
    this.#clock = clock;
  }

  /** The first look, and those after it from then on; resolves when it has succeeded or failed. */
  start(): Promise<void> {
    return this.#fetch();
  }

  current(): KeySet {
    if (this.#keys === undefined) throw unavailable("are not there yet");
    if (this.#clock() - this.#fetchedAt > this.#times.staleMs) throw unavailable("are too old");
    return this.#keys;
  }

  async refresh(): Promise<boolean> {
    const isDue = this.#fetching !== undefined || this.#clock() - this.#triedAt >= this.#times.cooldownMs;
    if (isDue) await this.#fetch();
    if (this.#problem !== undefined) throw unavailable("may have changed, and it does not answer");
    return isDue;
  }

  facts(): Readonly<Record<string, unknown>> {
    const ageMs = this.#clock() - this.#fetchedAt;
    return {
      keys: this.#keys?.size ?? 0,
      ...(Number.isFinite(ageMs) ? { ageSeconds: Math.round(ageMs / 1000) } : {}),
      ...(this.#problem === undefined ? {} : { problem: "the issuer's keys cannot be fetched" }),
    };
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  /** One fetch at a time, however many ask. */
  #fetch(): Promise<void> {
    this.#fetching ??= this.#fetchOnce().finally(() => {
      this.#fetching = undefined;
      this.#schedule();
    });
    return this.#fetching;
  }

  async #fetchOnce(): Promise<void> {
    this.#triedAt = this.#clock();
    try {
      const keys = await readKeySet(await this.#fetchKeys());
      if (this.#keys === undefined || this.#problem !== undefined) {
        this.#log("info", "jwt.keys", { issuer: this.#issuer, keys: keys.size });
      }
      if (keys.size === 0 && this.#keys?.size !== 0) {
        this.#log("warning", "jwt.keys_withdrawn", { issuer: this.#issuer });
      }
      this.#keys = keys;
      this.#fetchedAt = this.#clock();
      this.#problem = undefined;
      this.#failures = 0;
    } catch (error) {
      const reason = messageOf(error);
      if (this.#problem !== reason) {
        const until =
          this.#keys === undefined ? "no token of this issuer is believed" : "the last keys serve";
        this.#log("error", "jwt.keys_unavailable", { issuer: this.#issuer, reason, until });
      }
      this.#problem = reason;
      this.#failures += 1;
    }
  }

  async #fetchKeys(): Promise<unknown> {
    const limits = { maxBytes: MAX_BYTES, timeoutMs: this.#times.fetchMs };
    const place = `${this.#issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
    const found = await fetchJson(new URL(place), limits);
    const { issuer, jwks_uri: keys }: { issuer?: unknown; jwks_uri?: unknown } = Object(found);
    // Otherwise the keys would be somebody else's (§4.3).
    if (issuer !== this.#issuer) throw new Error(`Cannot use ${place}: it is of another issuer`);
    const url = typeof keys === "string" && URL.canParse(keys) ? new URL(keys) : undefined;
    const isWeaker = url?.protocol === "http:" && place.startsWith("https:");
    if (url === undefined || !isTrustworthy(url) || isWeaker) {
      throw new Error(`Cannot use ${place}: its jwks_uri is not an https URL`);
    }
    return fetchJson(url, limits);
  }

  #schedule(): void {
    const { refreshMs, retryMs, maxRetryMs } = this.#times;
    clearTimeout(this.#timer);
    if (this.#isClosed) return;
    const wait = this.#failures === 0 ? refreshMs : Math.min(retryMs * 2 ** (this.#failures - 1), maxRetryMs);
    this.#timer = setTimeout(() => void this.#fetch(), wait).unref();
  }
}

function unavailable(state: string): SignerError {
  return new SignerError(
    "ERR_ISSUER_UNAVAILABLE",
    `Cannot verify the token: the keys of its issuer ${state}`,
  );
}
