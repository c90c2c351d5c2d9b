import { Admission } from "./admission.ts";
import { Access, type AccessOptions } from "./auth/access.ts";
import type { Caller, Presented } from "./caller.ts";
import { CallerLimits } from "./caller_limits.ts";
import type { Change } from "./change.ts";
import type { Config } from "./config/config.ts";
import type { LimitsConfig } from "./config/limits.ts";
import { SignerError } from "./errors.ts";
import type { SignTimings } from "./signer.ts";

export interface GateOptions {
  /** Sessions that sign. */
  readonly sessions: number;
  readonly limits: LimitsConfig;
}

/** As many stand by as there are sessions: so none of them waits until JavaScript, which is at others, brings the next. */
const SLOTS_PER_SESSION = 2;
const MAX_WAITING = 1_024;
const MAX_WAIT_MS = 10_000;

/** What stands before the token: who may come in, how much each may take, and whose turn it is. */
export class Gate {
  readonly #admission: Admission;
  readonly #limits: CallerLimits;
  #access: Access | undefined;

  constructor({ sessions, limits }: GateOptions) {
    const slots = Math.ceil(sessions * SLOTS_PER_SESSION);
    this.#admission = new Admission({ slots, maxWaiting: MAX_WAITING, maxWaitMs: MAX_WAIT_MS });
    this.#limits = new CallerLimits(limits);
  }

  /**
   * Opens the ways in of a configuration. Who is in when they take their place stays in.
   *
   * @throws SignerError `ERR_CONFIGURATION`
   */
  async prepare(
    { authentication, credentials, limits }: Pick<Config, "authentication" | "credentials" | "limits">,
    { now, log }: Pick<AccessOptions, "now" | "log">,
  ): Promise<Change> {
    const labels = credentials.map(({ label }) => label);
    const former = this.#access;
    const access = await Access.open({ config: authentication, labels, now, log, former });
    return {
      commit: async () => {
        this.#access = access;
        this.#limits.configure(limits);
        former?.close(access);
      },
      discard: async () => access.close(former),
    };
  }

  /** @throws SignerError `ERR_UNAUTHENTICATED`, `ERR_ISSUER_UNAVAILABLE`, at once or later */
  authenticate(presented: Presented): Caller | Promise<Caller> {
    return this.#present.authenticate(presented);
  }

  /** @throws SignerError `ERR_RATE_LIMITED`, `ERR_TOO_MANY_REQUESTS_IN_FLIGHT` */
  admit({ name }: Caller): () => void {
    return this.#limits.admit(name);
  }

  /**
   * Signs when it is the caller's turn.
   *
   * @param isGone whether he waits no more: what was waited for in vain costs the token nothing
   * @param timings takes how long that was
   * @throws SignerError `ERR_TOKEN_BUSY`, `ERR_CLIENT_GONE`; and whatever `sign` throws
   */
  sign<T>(
    { caller, isGone }: { readonly caller: Caller; isGone(): boolean },
    timings: SignTimings,
    sign: () => Promise<T>,
  ): Promise<T> {
    const asked = performance.now();
    return this.#admission.run(caller.name, () => {
      timings.queueMs += performance.now() - asked;
      if (isGone()) throw new SignerError("ERR_CLIENT_GONE", "Cannot answer: the client has gone away");
      return sign();
    });
  }

  /** @throws SignerError `ERR_ISSUER_UNAVAILABLE` when nobody at all can come in */
  requireUsable(): void {
    this.#present.requireUsable();
  }

  /** Signatures under way, and those that wait for their turn. */
  get queue(): { readonly running: number; readonly waiting: number } {
    return this.#admission.state;
  }

  facts(): Readonly<Record<string, unknown>> {
    return this.#access?.facts() ?? {};
  }

  /** What an operator should hear at a start, and again each day. */
  warn(): void {
    this.#access?.warn();
  }

  close(): void {
    this.#access?.close();
  }

  get #present(): Access {
    if (this.#access === undefined) throw new SignerError("ERR_STOPPING", "Cannot answer: nothing is served");
    return this.#access;
  }
}
