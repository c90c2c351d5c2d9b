import { createHash, randomInt, verify } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import type * as graphene from "graphene-pk11";
import type { SignatureAlgorithm } from "../algorithms.ts";
import { SignerError } from "../errors.ts";
import type { Log } from "../log.ts";
import { Connection, type ConnectionOptions } from "./connection.ts";
import { findKeyLabels, findKeyPair, type TokenKeyPair } from "./key_pairs.ts";
import { Recovery } from "./recovery.ts";
import {
  CKR_OPERATION_ACTIVE,
  type Disposition,
  dispositionOf,
  returnCodeOf,
  tokenError,
} from "./return_codes.ts";
import type { SessionPoolState } from "./session_pool.ts";
import type { TokenKey } from "./token_key.ts";
import { signOnSession } from "./token_sign.ts";

export type TokenOptions = ConnectionOptions;

/** A busy token is asked once more, after a time that differs from caller to caller. */
const BUSY_DELAY_MS = { minimum: 50, maximum: 200 };
const RECOVERY_DELAY_MS = { first: 200, longest: 15_000 };
/** How long calls inside a module that has failed may take to return before it is finalized. */
const DRAIN_MS = 5_000;
/** A connection that failed younger than this is not replaced again. */
const MIN_CONNECTION_MS = 1_000;
/** A login that was lost younger than this is not mended by another one. */
const MIN_LOGIN_MS = 30_000;

/** A try at a signature, and the connection that it was made on. */
interface Attempt {
  connection: Connection;
  /** Whether it needs a new session, after trouble with a pooled one. */
  readonly fresh?: boolean;
}

/** A key pair that is in use: found again after each recovery. */
interface KnownPair {
  readonly label: string;
  readonly algorithm: SignatureAlgorithm;
  readonly pair: TokenKeyPair;
}

/**
 * A token that signs, and that comes back after whatever happened to it: connections come and go, the keys
 * that were found stay the same objects.
 */
export class Token {
  readonly #options: TokenOptions;
  readonly #recovery: Recovery;
  readonly #log: Log;
  readonly #known: KnownPair[] = [];
  #connection: Connection;
  /** Connections that were replaced while calls on them were still inside the module. */
  #retired: readonly Connection[] = [];
  /** On the clock of `performance.now`; the first connection counts as old. */
  #connectedAt = Number.NEGATIVE_INFINITY;
  /** Whether the connection is a new login on a module that stayed initialized. */
  #isLoginRenewed = false;
  /** What the connection suffers from, for the attempts to mend it. */
  #trouble: Disposition = "module";

  private constructor(options: TokenOptions, connection: Connection) {
    this.#options = options;
    this.#log = options.log;
    this.#connection = connection;
    this.#recovery = new Recovery({
      attempt: (attempt) => this.#reconnect(attempt),
      log: options.log,
      firstDelayMs: RECOVERY_DELAY_MS.first,
      maxDelayMs: RECOVERY_DELAY_MS.longest,
    });
  }

  /** Opens the token; see `Connection.open`. */
  static open(options: TokenOptions): Token {
    return new Token(options, Connection.open(options));
  }

  /** Of the present connection; `leased` and `overdue` count the calls on former ones too. */
  get sessions(): SessionPoolState {
    const { size, open, leased, overdue, waiting } = this.#connection.pool.state;
    const retired = this.#retired.map(({ pool }) => pool.state);
    const sum = (count: number, name: "leased" | "overdue"): number =>
      retired.reduce((total, state) => total + state[name], count);
    return { size, open, leased: sum(leased, "leased"), overdue: sum(overdue, "overdue"), waiting };
  }

  /** The labels of private keys on the token, some of them where there are many: for a person. */
  keyLabels(): readonly string[] {
    return findKeyLabels(this.#connection.control);
  }

  /** The key pair with this label; see `findKeyPair`. */
  findKeyPair(label: string, algorithm: SignatureAlgorithm): TokenKeyPair | undefined {
    const pair = findKeyPair(this.#connection.control, label, algorithm);
    if (pair !== undefined) this.#known.push({ label, algorithm, pair });
    return pair;
  }

  /** A new key pair; see `generateKeyPair` in `key_pairs.ts`. */
  async generateKeyPair(label: string, algorithm: SignatureAlgorithm): Promise<TokenKeyPair> {
    const pair = await this.#connection.generateKeyPair(label, algorithm);
    this.#known.push({ label, algorithm, pair });
    return pair;
  }

  /** Random bytes of the token (C_GenerateRandom). */
  randomBytes(length: number): Buffer {
    return this.#connection.control.generateRandom(length);
  }

  /**
   * Hashes and signs the bytes, with exactly one C_SignInit and one C_Sign, and verifies the signature in
   * software. What the token can do at a second try, on another session or after a recovery, is tried once
   * more.
   *
   * @param algorithm the key's own row, or for ECDSA that of another hash
   * @returns r‖s for ECDSA
   * @throws SignerError `ERR_TOKEN_*`, `ERR_PIN_REJECTED`, `ERR_SIGN_TIMEOUT`, `ERR_SIGNATURE_WRONG`
   */
  async sign(key: TokenKey, algorithm: SignatureAlgorithm, data: Uint8Array): Promise<Buffer> {
    const bytes = Buffer.from(data);
    const first: Attempt = { connection: this.#connection };
    try {
      return await this.#signOnce(key, algorithm, bytes, first);
    } catch (error) {
      if (!(await this.#isWorthAnotherTry(error, first))) throw tokenError("sign", error);
    }
    const second: Attempt = { connection: this.#connection, fresh: true };
    try {
      return await this.#signOnce(key, algorithm, bytes, second);
    } catch (error) {
      this.#recoverForOthers(error, second);
      throw tokenError("sign at the second try", error);
    }
  }

  #signOnce(key: TokenKey, algorithm: SignatureAlgorithm, data: Buffer, attempt: Attempt): Promise<Buffer> {
    const { nodeName } = algorithm.hash;
    const input = Buffer.from(algorithm.mechanismInput(createHash(nodeName).update(data).digest()));
    return this.#withSession(attempt, async (session) => {
      const signature = await signOnSession(session, key.p11Object.handle, algorithm, input);
      if (!verify(nodeName, data, { key: key.publicKeyObject, ...algorithm.verifyOptions }, signature)) {
        throw new SignerError("ERR_SIGNATURE_WRONG", "Cannot sign: the token's signature does not verify");
      }
      return signature;
    });
  }

  /** A session of the connection that is there when the caller's turn comes; nothing was tried before that. */
  async #withSession<T>(attempt: Attempt, use: (session: graphene.Session) => Promise<T>): Promise<T> {
    for (;;) {
      if (this.#recovery.isRunning) await this.#recovery.settled();
      const connection = this.#connection;
      attempt.connection = connection;
      try {
        return await connection.pool.withSession(use, attempt.fresh);
      } catch (error) {
        const wasGivenUp = error instanceof SignerError && error.code === "ERR_STOPPING";
        const isReplaced = this.#recovery.isRunning || connection !== this.#connection;
        if (!wasGivenUp || !isReplaced) throw error;
      }
    }
  }

  async #isWorthAnotherTry(error: unknown, { connection }: Attempt): Promise<boolean> {
    if (error instanceof SignerError) {
      if (error.code === "ERR_SIGNATURE_WRONG") this.#log("error", "token.wrong_signature");
      return error.code === "ERR_SIGNATURE_WRONG";
    }
    if (returnCodeOf(error) === CKR_OPERATION_ACTIVE) {
      this.#log("error", "token.session_was_shared", { error });
    }
    const disposition = dispositionOf(error);
    switch (disposition) {
      case "session":
        return true;
      case "busy":
        await delay(randomInt(BUSY_DELAY_MS.minimum, BUSY_DELAY_MS.maximum));
        return true;
      case "login":
      case "module":
        return this.#recover(connection, disposition, error);
      case "caller":
      case "fatal":
      case "unknown":
        return false;
    }
  }

  /**
   * Has the connection replaced, unless somebody did already.
   *
   * @returns whether there is another connection to try
   */
  async #recover(failed: Connection, disposition: Disposition, cause: unknown): Promise<boolean> {
    if (failed !== this.#connection) return true;
    // A token that fails again at once is not helped by logging in again and again.
    if (performance.now() - this.#connectedAt < MIN_CONNECTION_MS && !this.#recovery.isRunning) return false;
    if (!this.#recovery.isRunning) {
      // A new login that did not last: the module has to go too.
      const isRepeated = this.#isLoginRenewed && performance.now() - this.#connectedAt < MIN_LOGIN_MS;
      this.#trouble = isRepeated ? "module" : disposition;
      this.#log("warning", "token.recovering", { disposition, cause });
    }
    await this.#recovery.run();
    return true;
  }

  /** This caller has had his second try; those after him need not find out the same. */
  #recoverForOthers(error: unknown, { connection }: Attempt): void {
    const disposition = dispositionOf(error);
    if (disposition !== "login" && disposition !== "module") return;
    this.#recover(connection, disposition, error).catch(() => {
      // In the log, and kept for those who come.
    });
  }

  /**
   * One attempt at a new connection: a new login where only that is gone, otherwise finalize and initialize.
   * No call may be inside the module then.
   */
  async #reconnect(attempt: number): Promise<void> {
    const former = this.#connection;
    if (this.#trouble === "login" && attempt === 1) {
      void former.drain(0);
      this.#adopt(former.reopen(this.#options));
      this.#isLoginRenewed = true;
      former.closeControl();
      this.#retired = [...this.#retired, former].filter(({ pool }) => pool.state.leased > 0);
      return;
    }
    const hanging = await this.#drain(DRAIN_MS);
    if (hanging > 0) {
      throw new SignerError(
        "ERR_TOKEN_UNAVAILABLE",
        `Cannot initialize the module again: ${hanging} calls hang inside it`,
      );
    }
    if (this.#recovery.isStopped) return;
    former.finalize();
    this.#adopt(Connection.open(this.#options));
    this.#isLoginRenewed = false;
  }

  /** The new connection counts once every key that is in use was found on it. */
  #adopt(connection: Connection): void {
    const found = this.#known.map(({ label, algorithm, pair }) => {
      const again = findKeyPair(connection.control, label, algorithm);
      if (again === undefined) {
        throw new SignerError(
          "ERR_KEY_NOT_FOUND",
          `Cannot find the key pair "${label}" on the token any more`,
        );
      }
      if (!again.publicKey.publicKeyObject.equals(pair.publicKey.publicKeyObject)) {
        throw new SignerError(
          "ERR_KEY_UNUSABLE",
          `Cannot sign with the key pair "${label}": it is another one now`,
        );
      }
      return { pair, again };
    });
    for (const { pair, again } of found) {
      pair.privateKey.p11Object = again.privateKey.p11Object;
      pair.publicKey.p11Object = again.publicKey.p11Object;
    }
    this.#connection = connection;
    this.#connectedAt = performance.now();
  }

  /**
   * Lets running signatures end, closes the sessions, logs out and finalizes.
   *
   * @returns whether that was possible; after `false` an operation still hangs inside the module, which is
   *   left as it is
   */
  async close(graceMs: number): Promise<boolean> {
    this.#recovery.stop();
    if ((await this.#drain(graceMs)) > 0) return false;
    this.#connection.logOut();
    this.#connection.finalize();
    return true;
  }

  /** @returns how many calls are still inside the module after `graceMs`, on whichever connection they were made */
  async #drain(graceMs: number): Promise<number> {
    const connections = [this.#connection, ...this.#retired];
    const hanging = await Promise.all(connections.map((connection) => connection.drain(graceMs)));
    return hanging.reduce((sum, count) => sum + count, 0);
  }
}
