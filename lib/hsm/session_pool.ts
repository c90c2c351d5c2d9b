import { type Deferred, deferred } from "../deferred.ts";
import { SignerError } from "../errors.ts";
import { type Place, type StandBy, WaitingLine } from "./waiting_line.ts";

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

/**
 * What an operation says when its session has passed to one that stood by, right before it settles: it has succeeded,
 * and the other one is under way already.
 *
 * @param ticket of the other one
 */
export type PassOn = (ticket: number) => void;

/** How one operation is to be run. */
export interface LeaseOptions<T> {
  /**
   * Whether to open a new session rather than take one that lies idle; one that comes back from another caller
   * will do, since it has just worked.
   */
  readonly fresh?: boolean;
  /** Whether the caller waits however long the operation takes. */
  readonly withoutDeadline?: boolean;
  /**
   * Has the operation stand by, where there is no session for it: it may get that of another one, or be withdrawn
   * and used after all. Not for a caller who wants a new session.
   */
  readonly standBy?: (passOn: PassOn) => StandBy<T>;
}

export interface SessionPoolState {
  readonly size: number;
  readonly open: number;
  readonly leased: number;
  /** Leased sessions whose caller has been answered already: operations that hang inside the module. */
  readonly overdue: number;
  readonly waiting: number;
}

/** A session in the hands of an operation. */
interface Lease<S> {
  readonly session: S;
  /** Whether its time is up. */
  overdue: boolean;
  /** Whether the session is in the hands of another operation now. */
  isPassedOn: boolean;
  deadline: NodeJS.Timeout | undefined;
}

/**
 * Sessions that are lent exclusively: a PKCS#11 session carries one operation at a time, and CloudHSM
 * leaves it undefined what two of them produce.
 *
 * A session comes back into the pool only after success or an error that says nothing against it; otherwise
 * it is closed, and the next caller gets a new one. An operation inside the module cannot be cancelled: when
 * its time is up the caller is answered, but the lease lasts until the operation really ends.
 *
 * Where there are more callers than sessions, a session may pass from an operation that succeeded to one that stands
 * by before the pool hears of it. It hears of it with the end of the former one, whose lease the other one has then.
 */
export class SessionPool<S> {
  readonly #options: SessionPoolOptions<S>;
  readonly #idle: S[] = [];
  readonly #line: WaitingLine<S>;
  #leased = 0;
  #overdue = 0;
  #closing = false;
  #drained: (() => void) | undefined;

  constructor(options: SessionPoolOptions<S>) {
    this.#options = options;
    this.#line = new WaitingLine(options.waitTimeoutMs);
  }

  get state(): SessionPoolState {
    return {
      size: this.#options.size,
      open: this.#idle.length + this.#leased,
      leased: this.#leased,
      overdue: this.#overdue,
      waiting: this.#line.length,
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
   * @param use must throw nothing, and settle only when no call on the session is under way any more, but for that of
   *   an operation to which it has passed
   * @throws SignerError `ERR_TOKEN_BUSY` when no session came free in time, `ERR_TOKEN_HANGS` when none will,
   *   since every operation is overdue, `ERR_SIGN_TIMEOUT` when the operation took too long, `ERR_STOPPING` when
   *   the pool is closed; and whatever `use` throws
   */
  withSession<T>(use: (session: S, passOn: PassOn) => Promise<T>, options: LeaseOptions<T> = {}): Promise<T> {
    const { fresh = false, withoutDeadline = false, standBy } = options;
    const { promise, resolve, reject } = deferred<T>();
    let lease: Lease<S> | undefined;
    const passOn: PassOn = (ticket) => this.#passOn(lease, ticket);
    const follow = (session: S, result: Promise<T>): void => {
      lease = this.#leaseOf(session, withoutDeadline ? undefined : reject);
      this.#follow(lease, result, { resolve, reject });
    };
    const begin = (session: S): void => follow(session, use(session, passOn));
    const stand = (way: NonNullable<typeof standBy>): Place<S> => {
      const { ticket, result, withdraw } = way(passOn);
      return { ticket, withdraw, follow: (session) => follow(session, result) };
    };
    try {
      const session = this.#acquire(fresh);
      if (session !== undefined) begin(session);
      else {
        const canStand = standBy !== undefined && !fresh;
        this.#line.add({ begin, refuse: reject, standBy: canStand ? () => stand(standBy) : undefined });
      }
    } catch (error) {
      reject(error);
    }
    return promise;
  }

  /**
   * Lends no more, lets the running operations end, closes the sessions.
   *
   * @returns how many operations were still running after `graceMs`; their sessions are left open
   */
  async close(graceMs: number): Promise<number> {
    this.#closing = true;
    this.#line.refuseAll(stopping());
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
    if (this.#line.length >= this.#options.maxWaiters) {
      throw new SignerError(
        "ERR_TOKEN_BUSY",
        `Cannot get a session: ${this.#line.length} callers wait already`,
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

  /** @param reject of a caller who does not wait however long it takes */
  #leaseOf(session: S, reject: ((error: SignerError) => void) | undefined): Lease<S> {
    const lease: Lease<S> = { session, overdue: false, isPassedOn: false, deadline: undefined };
    if (reject !== undefined) lease.deadline = this.#untilDeadline(lease, reject);
    return lease;
  }

  #untilDeadline(lease: Lease<S>, reject: (error: SignerError) => void): NodeJS.Timeout {
    const limit = this.#options.operationTimeoutMs;
    return setTimeout(() => {
      lease.overdue = true;
      this.#overdue += 1;
      reject(new SignerError("ERR_SIGN_TIMEOUT", `Cannot sign: the token has not answered for ${limit} ms`));
      this.#options.onOverdue?.(this.state);
      if (this.#hangs()) this.#line.refuseAll(this.#hanging());
    }, limit);
  }

  #follow<T>(
    lease: Lease<S>,
    result: Promise<T>,
    { resolve, reject }: Pick<Deferred<T>, "resolve" | "reject">,
  ): void {
    result.then(
      (value) => {
        this.#release(lease, true);
        resolve(value);
      },
      (error: unknown) => {
        this.#release(lease, this.#options.isReusableAfter(error));
        reject(error);
      },
    );
  }

  /**
   * As many are leased as before. That the operation was overdue says nothing against the session any more: what it
   * waited for has come, and was right.
   */
  #passOn(lease: Lease<S> | undefined, ticket: number): void {
    if (lease === undefined || lease.isPassedOn) throw new RangeError("Cannot hand over a session twice");
    const { follow } = this.#line.heir(ticket);
    this.#end(lease);
    lease.isPassedOn = true;
    follow(lease.session);
  }

  #release(lease: Lease<S>, reusable: boolean): void {
    if (lease.isPassedOn) return;
    this.#end(lease);
    this.#leased -= 1;
    if (this.#closing || lease.overdue || !reusable) this.#closeQuietly(lease.session);
    else this.#idle.push(lease.session);
    if (this.#closing && this.#leased === 0) this.#drained?.();
    this.#serveNext();
  }

  #end(lease: Lease<S>): void {
    clearTimeout(lease.deadline);
    if (lease.overdue) this.#overdue -= 1;
  }

  #serveNext(): void {
    if (this.#line.length === 0) return;
    const session = this.#sessionForNext();
    if (session === undefined) return;
    const waiter = this.#line.shift();
    if (waiter === undefined) this.#idle.push(session);
    else waiter.begin(this.#lend(session));
  }

  #sessionForNext(): S | undefined {
    try {
      return this.#idle.pop() ?? this.#openUnlessOthersReturn();
    } catch (error) {
      // Opening may take its time to fail, and blocks: what one caller is told, all are told.
      this.#line.refuseAll(error);
      return undefined;
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
