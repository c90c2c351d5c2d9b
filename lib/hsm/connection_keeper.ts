import type * as graphene from "graphene-pk11";
import { SignerError } from "../errors.ts";
import type { Log } from "../log.ts";
import type { Secret } from "../secret.ts";
import { Connection, type ConnectionOptions } from "./connection.ts";
import { Recovery } from "./recovery.ts";
import type { Disposition } from "./return_codes.ts";
import type { SessionPoolState } from "./session_pool.ts";

export interface ConnectionKeeperOptions extends ConnectionOptions {
  /**
   * Finds on a new connection what was in use on the former one.
   *
   * @param control the session that reads objects
   * @throws SignerError when the connection is not good for anything
   */
  onConnect(control: graphene.Session): void;
}

const RECOVERY_DELAY_MS = { first: 200, longest: 15_000 };
/** How long calls inside a module that has failed may take to return before it is finalized. */
const DRAIN_MS = 5_000;
/** A connection that failed younger than this is not replaced again. */
const MIN_CONNECTION_MS = 1_000;
/** A login that was lost younger than this is not mended by another one. */
const MIN_LOGIN_MS = 30_000;

/** Keeps one connection to the token: when it fails, there is a new one, however many ask for it. */
export class ConnectionKeeper {
  readonly #onConnect: ConnectionKeeperOptions["onConnect"];
  readonly #recovery: Recovery;
  readonly #log: Log;
  #options: ConnectionOptions;
  #current: Connection;
  /** Connections that were replaced while calls on them were still inside the module. */
  #retired: readonly Connection[] = [];
  /** On the clock of `performance.now`; the first connection counts as old. */
  #connectedAt = Number.NEGATIVE_INFINITY;
  /** Whether the connection is a new login on a module that stayed initialized. */
  #isLoginRenewed = false;
  /** What the connection suffers from, for the attempts to mend it. */
  #trouble: Disposition = "module";
  /** The PIN that the token refused, if it did. */
  #refusedPin: Secret | undefined;

  /** Opens the token; see `Connection.open`. */
  constructor({ onConnect, ...options }: ConnectionKeeperOptions) {
    this.#onConnect = onConnect;
    this.#options = options;
    this.#log = options.log;
    this.#current = Connection.open(options);
    this.#recovery = new Recovery({
      attempt: (attempt) => this.#reconnect(attempt),
      log: options.log,
      firstDelayMs: RECOVERY_DELAY_MS.first,
      maxDelayMs: RECOVERY_DELAY_MS.longest,
    });
  }

  get current(): Connection {
    return this.#current;
  }

  /** Whether the token is known to be away. */
  get isRecovering(): boolean {
    return this.#recovery.isRunning;
  }

  /** Waits while a recovery is under way; see `Recovery.settled`. */
  settled(): Promise<void> {
    return this.#recovery.settled();
  }

  /** Of the current connection; `leased` and `overdue` count the calls on former ones too. */
  get sessions(): SessionPoolState {
    const { size, open, leased, overdue, waiting } = this.#current.pool.state;
    const retired = this.#retired.map(({ pool }) => pool.state);
    const sum = (count: number, name: "leased" | "overdue"): number =>
      retired.reduce((total, state) => total + state[name], count);
    return { size, open, leased: sum(leased, "leased"), overdue: sum(overdue, "overdue"), waiting };
  }

  /**
   * Has a connection replaced, unless somebody did already.
   *
   * @returns whether there is another connection to try
   * @throws SignerError when there is none, with the reason
   */
  async replace(failed: Connection, disposition: Disposition, cause: unknown): Promise<boolean> {
    if (failed !== this.#current) return true;
    const age = performance.now() - this.#connectedAt;
    // A token that fails again at once is not helped by logging in again and again.
    if (age < MIN_CONNECTION_MS && !this.#recovery.isRunning) return false;
    if (!this.#recovery.isRunning) {
      // A new login that did not last: the module has to go too.
      this.#trouble = this.#isLoginRenewed && age < MIN_LOGIN_MS ? "module" : disposition;
      this.#log("warning", "token.recovering", { disposition, cause });
    }
    await this.#recovery.run();
    return true;
  }

  /**
   * The PIN of every later login. Where the former one was refused, the attempts that ended then begin again, if
   * this is another one.
   *
   * @throws SignerError when the token is away, or this PIN is the one that was refused
   */
  async usePin(pin: Secret): Promise<void> {
    this.#options = { ...this.#options, pin };
    if (this.#refusedPin !== undefined && pin.equals(this.#refusedPin)) {
      throw new SignerError(
        "ERR_PIN_REJECTED",
        `Cannot log in: the PIN of ${pin.origin} is the one that the token refused; it is not tried again`,
      );
    }
    this.#refusedPin = undefined;
    await this.#recovery.resume();
  }

  /**
   * One attempt at a new connection: a new login where only that is gone, otherwise finalize and initialize.
   * No call may be inside the module then.
   */
  async #reconnect(attempt: number): Promise<void> {
    const { pin } = this.#options;
    try {
      if (this.#trouble === "login" && attempt === 1) this.#logInAgain();
      else await this.#initializeAgain();
    } catch (error) {
      if (error instanceof SignerError && error.code === "ERR_PIN_REJECTED") this.#refusedPin = pin;
      throw error;
    }
  }

  #logInAgain(): void {
    const former = this.#current;
    void former.drain(0);
    this.#adopt(former.reopen(this.#options));
    this.#isLoginRenewed = true;
    former.closeControl();
    this.#retired = [...this.#retired, former].filter(({ pool }) => pool.state.leased > 0);
  }

  async #initializeAgain(): Promise<void> {
    const hanging = await this.#drain(DRAIN_MS);
    if (hanging > 0) {
      throw new SignerError(
        "ERR_TOKEN_UNAVAILABLE",
        `Cannot initialize the module again: ${hanging} calls hang inside it`,
      );
    }
    if (this.#recovery.isStopped) return;
    this.#current.finalize();
    this.#adopt(this.#current.openAgain(this.#options));
    this.#isLoginRenewed = false;
  }

  #adopt(connection: Connection): void {
    this.#onConnect(connection.control);
    this.#current = connection;
    this.#connectedAt = performance.now();
  }

  /**
   * Lets running calls end, closes the sessions, logs out and finalizes.
   *
   * @returns whether that was possible; after `false` an operation still hangs inside the module, which is
   *   left as it is
   */
  async close(graceMs: number): Promise<boolean> {
    this.#recovery.stop();
    if ((await this.#drain(graceMs)) > 0) return false;
    this.#current.logOut();
    this.#current.finalize();
    return true;
  }

  /** @returns how many calls are still inside the module after `graceMs`, on whichever connection they were made */
  async #drain(graceMs: number): Promise<number> {
    const connections = [this.#current, ...this.#retired];
    const hanging = await Promise.all(connections.map((connection) => connection.drain(graceMs)));
    return hanging.reduce((sum, count) => sum + count, 0);
  }
}
