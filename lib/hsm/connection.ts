import type * as graphene from "graphene-pk11";
import type { SignatureAlgorithm } from "../algorithms.ts";
import type { Log } from "../log.ts";
import type { Secret } from "../secret.ts";
import { generateKeyPair, readKeyPair, type TokenKeyPair } from "./key_pairs.ts";
import { login, openSession, Pkcs11Module } from "./module.ts";
import type { SignWork } from "./native_sign.ts";
import { dispositionOf, tokenError } from "./return_codes.ts";
import { type PassOn, SessionPool } from "./session_pool.ts";
import type { StandBy } from "./waiting_line.ts";

export interface ConnectionOptions {
  readonly modulePath: string;
  /** Which token, where there are several. */
  readonly label: string | undefined;
  readonly pin: Secret;
  /** Sessions of the pool. */
  readonly sessions: number;
  readonly log: Log;
  /** How long a caller waits for a session, in milliseconds. */
  readonly waitTimeoutMs?: number;
  /** How long a caller waits for a signature, in milliseconds. */
  readonly signTimeoutMs?: number;
  /** Whether signatures may be verified on the threads that make them; by standard they are, where that is possible. */
  readonly verifiesOnThread?: boolean;
}

const MAX_WAITERS = 1024;
/** State of a read-write session after C_Login (PKCS#11 v2.40 §3.3). */
const CKS_RW_USER_FUNCTIONS = 3;

/**
 * One login to the token: the module, a session of its own that holds the login and reads objects, and the
 * pool of sessions that sign. Sessions and object handles are good for this connection alone; after trouble
 * there is a new one, never a mended one.
 */
export class Connection {
  readonly #module: Pkcs11Module;
  readonly control: graphene.Session;
  readonly pool: SessionPool<graphene.Session>;
  /** Where signatures stand by that have no session yet. */
  readonly #relay: object;

  private constructor(module: Pkcs11Module, control: graphene.Session, pool: SessionPool<graphene.Session>) {
    this.#module = module;
    this.control = control;
    this.pool = pool;
    this.#relay = module.signatures.relay();
  }

  /**
   * Loads and initializes the module, logs in and opens the sessions. A refused PIN is not tried again.
   *
   * @throws SignerError `ERR_MODULE_UNUSABLE`, `ERR_TOKEN_NOT_FOUND`, `ERR_PIN_REJECTED`, or one of the
   *   other codes of `return_codes.ts`; the module is finalized then
   */
  static open(options: ConnectionOptions): Connection {
    return Connection.#initialize(Pkcs11Module.load(options.modulePath, options.verifiesOnThread), options);
  }

  /** The same after `finalize`, with the module that is loaded already. */
  openAgain(options: ConnectionOptions): Connection {
    return Connection.#initialize(this.#module, options);
  }

  static #initialize(module: Pkcs11Module, options: ConnectionOptions): Connection {
    module.initialize();
    try {
      return Connection.#logIn(module, options);
    } catch (error) {
      finalizeQuietly(module);
      throw tokenError("open the token", error);
    }
  }

  /** A new login on the same module, for when only the login or the handles are gone. */
  reopen(options: ConnectionOptions): Connection {
    return Connection.#logIn(this.#module, options);
  }

  static #logIn(module: Pkcs11Module, options: ConnectionOptions): Connection {
    const slot = module.slotOfToken(options.label);
    const control = openSession(slot);
    login(control, options.pin);
    const pool = sessionPool(slot, options);
    const shortage = pool.fill();
    if (shortage !== undefined) {
      options.log("warning", "token.fewer_sessions", {
        open: pool.state.open,
        wanted: options.sessions,
        shortage,
      });
    }
    return new Connection(module, control, pool);
  }

  /**
   * Lends no more sessions and closes those that come back.
   *
   * @returns how many calls are still inside the module after `graceMs`
   */
  drain(graceMs: number): Promise<number> {
    this.#module.signatures.closeRelay(this.#relay);
    return this.pool.close(graceMs);
  }

  /**
   * Signs in a session of the pool, or in one that another signature passes on; see `NativeSign.sign` and
   * `SessionPool.withSession`.
   *
   * @param asked when the caller came, on the clock of `performance.now`
   * @param fresh whether he needs a new session
   */
  sign(work: SignWork, asked: number, fresh: boolean): Promise<Buffer> {
    const { signatures } = this.#module;
    const relay = this.#relay;
    const waited = (): number => performance.now() - asked;
    const use = (session: graphene.Session, passOn: PassOn): Promise<Buffer> => {
      work.timings.queueMs += waited();
      return signatures.sign(session, work, { relay, passOn });
    };
    if (!signatures.verifies) return this.pool.withSession(use, { fresh });
    const standBy = (passOn: PassOn): StandBy<Buffer> =>
      signatures.standBy(work, { relay, passOn }, waited());
    return this.pool.withSession(use, { fresh, standBy });
  }

  /** Whether the sessions of this connection and its login are still there, as far as the library knows. */
  isAlive(): boolean {
    try {
      return this.control.lib.C_GetSessionInfo(this.control.handle).state === CKS_RW_USER_FUNCTIONS;
    } catch {
      return false;
    }
  }

  /**
   * A new key pair, without a deadline: an HSM may take its time over RSA-4096, and a pair that nobody waits for
   * any more would be there all the same.
   *
   * @param id CKA_ID of both halves
   */
  async generateKeyPair(label: string, id: Buffer, algorithm: SignatureAlgorithm): Promise<TokenKeyPair> {
    const generate = (session: graphene.Session): Promise<Buffer> =>
      generateKeyPair(session, label, id, algorithm);
    try {
      const privateKey = await this.pool.withSession(generate, { withoutDeadline: true });
      return readKeyPair(this.control, label, privateKey, algorithm);
    } catch (error) {
      throw tokenError(`generate the key pair "${label}"`, error);
    }
  }

  /** Closes the session that holds the login; a login ends with the last session (PKCS#11 v2.40 §5.6). */
  closeControl(): void {
    try {
      this.control.close();
    } catch {
      // Gone with its token.
    }
  }

  /** Ends the login for all sessions of the process. */
  logOut(): void {
    try {
      this.control.logout();
    } catch {
      // Nobody is logged in to a token that is gone.
    }
    this.closeControl();
  }

  /**
   * C_Finalize. Only after `drain` has said that nothing runs inside the module: finalizing under a running
   * C_Sign ends the process.
   */
  finalize(): void {
    finalizeQuietly(this.#module);
  }
}

/** A module that cannot be finalized is not initialized any more; that is what was wanted. */
function finalizeQuietly(module: Pkcs11Module): void {
  try {
    module.close();
  } catch {
    // CKR_CRYPTOKI_NOT_INITIALIZED and the like.
  }
}

function sessionPool(slot: graphene.Slot, options: ConnectionOptions): SessionPool<graphene.Session> {
  return new SessionPool({
    size: options.sessions,
    maxWaiters: MAX_WAITERS,
    waitTimeoutMs: options.waitTimeoutMs ?? 10_000,
    operationTimeoutMs: options.signTimeoutMs ?? 10_000,
    open: () => openSession(slot),
    close: (session) => session.close(),
    isShortage: (error) => dispositionOf(error) === "busy",
    isReusableAfter: (error) => dispositionOf(error) === "caller",
    onOverdue: (state) => options.log("warning", "token.call_hangs", { ...state }),
  });
}
