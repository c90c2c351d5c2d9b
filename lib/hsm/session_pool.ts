import { deferred } from "../deferred.ts";
import { SignerError } from "../errors.ts";

export interface SessionPoolOptions<S> {
  /** Sessions at most. */
  readonly size: number;
  /** Callers that may wait for a session before further ones are turned away. */
  readonly maxWaiters: number;
  /** How long a caller waits for a session, in milliseconds. */
  readonly waitTimeoutMs: number;
  /** How long a caller waits for its operation, in milliseconds; the lease lasts until the operation ends. */
  readonly operationTimeoutMs: number;
  open(): S;
  close(session: S): void;
  /** Whether opening failed for want of sessions alone. */
  isShortage(error: unknown): boolean;
  /** Whether a session may be used again after its operation failed with this error. */
  isReusableAfter(error: unknown): boolean;
  /** Told of each operation whose time is up and that has not ended. */
  onOverdue?(state: SessionPoolState): void;
}

/** How one operation is to be run. */
export interface LeaseOptions {
  /**
   * Whether to open a new session rather than take one that lies idle; one that comes back from another caller
   * will do, since it has just worked.
   */
  readonly fresh?: boolean;
  /** Whether the caller waits however long the operation takes. */
  readonly withoutDeadline?: boolean;
}

export interface SessionPoolState {
  readonly size: number;
  readonly open: number;
  readonly leased: number;
  /** Leased sessions whose caller has been answered already: operations that hang inside the module. */
  readonly overdue: number;
  readonly waiting: number;
}

interface Waiter<S> {
  readonly resolve: (session: S) => void;
  readonly reject: (error: unknown) => void;
  readonly timer: NodeJS.Timeout;
}

interface Lease {
  /** Whether its time is up. */
  overdue: boolean;
}

/**
 * Sessions that are lent exclusively: a PKCS#11 session carries one operation at a time, and CloudHSM
 * leaves it undefined what two of them produce.
 *
 * A session comes back into the pool only after success or an error that says nothing against it; otherwise
 * it is closed, and the next caller gets a new one. An operation inside the module cannot be cancelled: when
 * its time is up the caller is answered, but the lease lasts until the operation really ends.
 */
export class SessionPool<S> {
  readonly #options: SessionPoolOptions<S>;
  readonly #idle: S[] = [];
  readonly #waiters: Waiter<S>[] = [];
  #leased = 0;
  #overdue = 0;
  #closing = false;
  #drained: (() => void) | undefined;

  constructor(options: SessionPoolOptions<S>) {
    this.#options = options;
  }

  get state(): SessionPoolState {
    return {
      size: this.#options.size,
      open: this.#idle.length + this.#leased,
      leased: this.#leased,
      overdue: this.#overdue,
      waiting: this.#waiters.length,
    };
  }

  /**
   * Opens all sessions now, so that no request pays for it. Where the token gives fewer than were asked for,
   * the pool makes do with these, and asks again when they do not suffice.
   *
   * @returns the error of the first session that could not be opened, if one could not
   * @throws that error when no session could be opened at all
   */
  fill(): unknown {
    while (this.state.open < this.#options.size) {
      try {
        this.#idle.push(this.#options.open());
      } catch (error) {
        if (this.state.open === 0) throw error;
        return error;
      }
    }
    return undefined;
  }

  /**
   * Lends a session for one operation.
   *
   * @param use must settle only when no call on the session is under way any more
   * @throws SignerError `ERR_TOKEN_BUSY` when no session came free in time, `ERR_TOKEN_HANGS` when none will,
   *   since every operation is overdue, `ERR_SIGN_TIMEOUT` when the operation took too long, `ERR_STOPPING` when
   *   the pool is closed; and whatever `use` throws
   */
  async withSession<T>(use: (session: S) => Promise<T>, options: LeaseOptions = {}): Promise<T> {
    const session = this.#acquire(options.fresh ?? false) ?? (await this.#wait());
    const { promise, resolve, reject } = deferred<T>();
    const lease: Lease = { overdue: false };
    const timer = options.withoutDeadline ? undefined : this.#untilDeadline(lease, reject);
    use(session).then(
      (result) => {
        clearTimeout(timer);
        this.#release(session, lease, true);
        resolve(result);
      },
      (error: unknown) => {
        clearTimeout(timer);
        this.#release(session, lease, this.#options.isReusableAfter(error));
        reject(error);
      },
    );
    return promise;
  }

  /**
   * Lends no more, lets the running operations end, closes the sessions.
   *
   * @returns how many operations were still running after `graceMs`; their sessions are left open
   */
  async close(graceMs: number): Promise<number> {
    this.#closing = true;
    this.#refuseAll(stopping());
    for (const session of this.#idle.splice(0)) this.#closeQuietly(session);
    if (this.#leased > 0) {
      const { promise, resolve } = deferred<void>();
      const timer = setTimeout(resolve, graceMs);
      this.#drained = resolve;
      await promise;
      clearTimeout(timer);
    }
    return this.#leased;
  }

  /**
   * A session, if one can be had now.
   *
   * @throws SignerError when nobody may wait for one
   */
  #acquire(fresh: boolean): S | undefined {
    if (this.#closing) throw stopping();
    const idle = this.#idle.pop();
    if (idle !== undefined) return this.#lend(fresh ? this.#newInsteadOf(idle) : idle);
    if (this.#leased < this.#options.size) {
      const session = this.#openUnlessOthersReturn();
      if (session !== undefined) return this.#lend(session);
    }
    if (this.#hangs()) throw this.#hanging();
    if (this.#waiters.length >= this.#options.maxWaiters) {
      throw new SignerError(
        "ERR_TOKEN_BUSY",
        `Cannot get a session: ${this.#waiters.length} callers wait already`,
      );
    }
    return undefined;
  }

  #lend(session: S): S {
    this.#leased += 1;
    return session;
  }

  /** A new session; or the idle one after all, where the token gives no more. */
  #newInsteadOf(idle: S): S {
    try {
      const session = this.#options.open();
      this.#closeQuietly(idle);
      return session;
    } catch (error) {
      if (this.#options.isShortage(error)) return idle;
      this.#closeQuietly(idle);
      throw error;
    }
  }

  /**
   * A new session; or `undefined` when there is none to be had, but others are lent and will come back.
   *
   * @throws what opening throws, where nothing will come back
   */
  #openUnlessOthersReturn(): S | undefined {
    try {
      return this.#options.open();
    } catch (error) {
      if (this.#leased === 0 || !this.#options.isShortage(error)) throw error;
      return undefined;
    }
  }

  #wait(): Promise<S> {
    const { promise, resolve, reject } = deferred<S>();
    const timer = setTimeout(() => {
      this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
      reject(new SignerError("ERR_TOKEN_BUSY", `Cannot get a session: all are in use`));
    }, this.#options.waitTimeoutMs);
    const waiter: Waiter<S> = { resolve, reject, timer };
    this.#waiters.push(waiter);
    return promise;
  }

  #untilDeadline(lease: Lease, reject: (error: SignerError) => void): NodeJS.Timeout {
    const limit = this.#options.operationTimeoutMs;
    return setTimeout(() => {
      lease.overdue = true;
      this.#overdue += 1;
      reject(new SignerError("ERR_SIGN_TIMEOUT", `Cannot sign: the token has not answered for ${limit} ms`));
      this.#options.onOverdue?.(this.state);
      if (this.#hangs()) this.#refuseAll(this.#hanging());
    }, limit);
  }

  #release(session: S, lease: Lease, reusable: boolean): void {
    this.#leased -= 1;
    if (lease.overdue) this.#overdue -= 1;
    if (this.#closing || lease.overdue || !reusable) this.#closeQuietly(session);
    else this.#idle.push(session);
    if (this.#closing && this.#leased === 0) this.#drained?.();
    this.#serveNext();
  }

  #serveNext(): void {
    const [waiter] = this.#waiters;
    if (waiter === undefined) return;
    try {
      const session = this.#idle.pop() ?? this.#openUnlessOthersReturn();
      if (session === undefined) return;
      this.#waiters.shift();
      clearTimeout(waiter.timer);
      waiter.resolve(this.#lend(session));
    } catch (error) {
      // Opening may take its time to fail, and blocks: what one caller is told, all are told.
      this.#refuseAll(error);
    }
  }

  /** Whether nothing will come back: every session there is hangs in an operation that is overdue. */
  #hangs(): boolean {
    return this.#overdue > 0 && this.#overdue === this.#leased && this.#idle.length === 0;
  }

  #hanging(): SignerError {
    const { leased, size } = this.state;
    return new SignerError(
      "ERR_TOKEN_HANGS",
      `Cannot get a session: calls hang inside the module in all ${leased} sessions (of ${size})`,
    );
  }

  #refuseAll(error: unknown): void {
    for (const waiter of this.#waiters.splice(0)) this.#refuse(waiter, error);
  }

  #refuse(waiter: Waiter<S>, error: unknown): void {
    clearTimeout(waiter.timer);
    waiter.reject(error);
  }

  /** A session that cannot be closed is gone already, or its token is. */
  #closeQuietly(session: S): void {
    try {
      this.#options.close(session);
    } catch {
      // Nothing is left to close.
    }
  }
}

function stopping(): SignerError {
  return new SignerError("ERR_STOPPING", "Cannot get a session: the service is stopping");
}
