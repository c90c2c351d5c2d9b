import { createHash, randomInt, verify } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import type * as graphene from "graphene-pk11";
import type { SignatureAlgorithm } from "../algorithms.ts";
import { messageOf, SignerError } from "../errors.ts";
import type { Log } from "../log.ts";
import type { Secret } from "../secret.ts";
import { findKeyPair, generateKeyPair, type TokenKeyPair } from "./key_pairs.ts";
import { login, openSession, Pkcs11Module } from "./module.ts";
import { CKR_OPERATION_ACTIVE, dispositionOf, returnCodeOf, tokenError } from "./return_codes.ts";
import { SessionPool, type SessionPoolState } from "./session_pool.ts";
import type { TokenKey } from "./token_key.ts";
import { signOnSession } from "./token_sign.ts";

export interface TokenOptions {
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
}

const MAX_WAITERS = 1024;
/** A busy token is asked once more, after a time that differs from caller to caller. */
const BUSY_DELAY_MS = { minimum: 50, maximum: 200 };

/**
 * A logged-in token: the module, one session of its own that holds the login and reads objects, and the
 * pool of sessions that sign.
 */
export class Token {
  readonly #module: Pkcs11Module;
  readonly #control: graphene.Session;
  readonly #pool: SessionPool<graphene.Session>;
  readonly #log: Log;

  private constructor(
    module: Pkcs11Module,
    control: graphene.Session,
    pool: SessionPool<graphene.Session>,
    log: Log,
  ) {
    this.#module = module;
    this.#control = control;
    this.#pool = pool;
    this.#log = log;
  }

  /**
   * Loads the module, logs in and opens the sessions. A refused PIN is not tried again.
   *
   * @throws SignerError `ERR_MODULE_UNUSABLE`, `ERR_TOKEN_NOT_FOUND`, `ERR_PIN_REJECTED`, or one of the
   *   other codes of `return_codes.ts`; the module is finalized then
   */
  static open(options: TokenOptions): Token {
    const module = Pkcs11Module.open(options.modulePath);
    try {
      const slot = module.slotOfToken(options.label);
      const control = openSession(slot);
      login(control, options.pin.reveal());
      const pool = sessionPool(slot, options);
      const shortage = pool.fill();
      if (shortage !== undefined) {
        options.log("warning", "token.fewer_sessions", {
          open: pool.state.open,
          wanted: options.sessions,
          shortage,
        });
      }
      return new Token(module, control, pool, options.log);
    } catch (error) {
      module.close();
      throw tokenError("open the token", error);
    }
  }

  get sessions(): SessionPoolState {
    return this.#pool.state;
  }

  /** The key pair with this label; see `findKeyPair`. */
  findKeyPair(label: string, algorithm: SignatureAlgorithm): TokenKeyPair | undefined {
    return findKeyPair(this.#control, label, algorithm);
  }

  /** A new key pair; see `generateKeyPair`. */
  generateKeyPair(label: string, algorithm: SignatureAlgorithm): Promise<TokenKeyPair> {
    return this.#pool.withSession((session) => generateKeyPair(session, label, algorithm));
  }

  /** Random bytes of the token (C_GenerateRandom). */
  randomBytes(length: number): Buffer {
    return this.#control.generateRandom(length);
  }

  /**
   * Hashes and signs the bytes, with exactly one C_SignInit and one C_Sign, and verifies the signature in
   * software. What the token can do at a second try, on another session, is tried once more.
   *
   * @param algorithm the key's own row, or for ECDSA that of another hash
   * @returns r‖s for ECDSA
   * @throws SignerError `ERR_TOKEN_*`, `ERR_SIGN_TIMEOUT`, `ERR_SIGNATURE_WRONG`
   */
  async sign(key: TokenKey, algorithm: SignatureAlgorithm, data: Uint8Array): Promise<Buffer> {
    const bytes = Buffer.from(data);
    try {
      return await this.#signOnce(key, algorithm, bytes);
    } catch (error) {
      if (!(await this.#isWorthAnotherTry(error))) throw tokenError("sign", error);
    }
    try {
      return await this.#signOnce(key, algorithm, bytes);
    } catch (error) {
      throw tokenError("sign at the second try", error);
    }
  }

  #signOnce(key: TokenKey, algorithm: SignatureAlgorithm, data: Buffer): Promise<Buffer> {
    const { nodeName } = algorithm.hash;
    const input = Buffer.from(algorithm.mechanismInput(createHash(nodeName).update(data).digest()));
    return this.#pool.withSession(async (session) => {
      const signature = await signOnSession(session, key.p11Object.handle, algorithm, input);
      if (!verify(nodeName, data, { key: key.publicKeyObject, ...algorithm.verifyOptions }, signature)) {
        throw new SignerError("ERR_SIGNATURE_WRONG", "Cannot sign: the token's signature does not verify");
      }
      return signature;
    });
  }

  async #isWorthAnotherTry(error: unknown): Promise<boolean> {
    if (returnCodeOf(error) === CKR_OPERATION_ACTIVE)
      this.#log("error", "token.session_was_shared", { error });
    if (error instanceof SignerError) {
      if (error.code !== "ERR_SIGNATURE_WRONG") return false;
      this.#log("error", "token.wrong_signature");
      return true;
    }
    const disposition = dispositionOf(error);
    if (disposition === "busy") await delay(randomInt(BUSY_DELAY_MS.minimum, BUSY_DELAY_MS.maximum));
    return disposition === "busy" || disposition === "session";
  }

  /**
   * Lets running signatures end, closes the sessions, logs out and finalizes.
   *
   * @returns whether that was possible; after `false` an operation still hangs inside the module, which is
   *   left as it is
   */
  async close(graceMs: number): Promise<boolean> {
    if ((await this.#pool.close(graceMs)) > 0) return false;
    try {
      this.#control.logout();
      this.#control.close();
      this.#module.close();
    } catch (error) {
      this.#log("warning", "token.close_failed", { reason: messageOf(error) });
    }
    return true;
  }
}

function sessionPool(slot: graphene.Slot, options: TokenOptions): SessionPool<graphene.Session> {
  return new SessionPool({
    size: options.sessions,
    maxWaiters: MAX_WAITERS,
    waitTimeoutMs: options.waitTimeoutMs ?? 10_000,
    operationTimeoutMs: options.signTimeoutMs ?? 10_000,
    open: () => openSession(slot),
    close: (session) => session.close(),
    isReusableAfter: (error) => dispositionOf(error) === "caller",
  });
}
