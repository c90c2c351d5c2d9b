import { randomBytes, randomInt } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import type * as graphene from "graphene-pk11";
import type { SignatureAlgorithm } from "../algorithms.ts";
import { SignerError } from "../errors.ts";
import type { Log } from "../log.ts";
import type { Secret } from "../secret.ts";
import type { Signer, SignTimings } from "../signer.ts";
import type { Connection, ConnectionOptions } from "./connection.ts";
import { ConnectionKeeper } from "./connection_keeper.ts";
import { findKeyLabels, type ListedKey, listKeys } from "./key_list.ts";
import { destroyKeyPair, findKeyIds, findKeyPair, type TokenKeyPair } from "./key_pairs.ts";
import { type KeyShelf, provisionKey } from "./key_provision.ts";
import { KnownKeys } from "./known_keys.ts";
import type { SignWork } from "./native_sign.ts";
import {
  CKR_OPERATION_ACTIVE,
  type Disposition,
  dispositionOf,
  returnCodeOf,
  tokenError,
} from "./return_codes.ts";
import type { SessionPoolState } from "./session_pool.ts";
import { TokenKey } from "./token_key.ts";

export type TokenOptions = ConnectionOptions;

/** A busy token is asked once more, after a time that differs from caller to caller. */
const BUSY_DELAY_MS = { minimum: 50, maximum: 200 };
/** Enough for CKA_ID to be unique among everybody who shares the token. */
const KEY_ID_LENGTH = 20;
/** CloudHSM lets nobody use a new key before a quorum of its HSMs has it. */
const QUORUM_LIMIT_MS = 5 * 60_000;
const QUORUM_DELAY_MS = 1_000;

interface KeyedWork extends SignWork {
  readonly key: TokenKey;
}

/** A try at a signature, and the connection that it was made on. */
interface Attempt {
  connection: Connection;
  /** Whether it needs a new session, after trouble with a pooled one. */
  readonly fresh?: boolean;
}

/**
 * A token that signs, and that comes back after whatever happened to it: connections come and go, the keys
 * that were found stay the same objects.
 */
export class Token {
  readonly #keeper: ConnectionKeeper;
  readonly #keys: KnownKeys;
  readonly #log: Log;

  private constructor(options: TokenOptions) {
    this.#log = options.log;
    this.#keys = new KnownKeys(options.log);
    this.#keeper = new ConnectionKeeper({ ...options, onConnect: (control) => this.#keys.resolve(control) });
  }

  /** Opens the token; see `Connection.open`. */
  static open(options: TokenOptions): Token {
    return new Token(options);
  }

  /** Of the present connection; `leased` and `overdue` count the calls on former ones too. */
  get sessions(): SessionPoolState {
    return this.#keeper.sessions;
  }

  /** The labels of private keys on the token, some of them where there are many: for a person. */
  keyLabels(): readonly string[] {
    return findKeyLabels(this.#control);
  }

  /** All private keys on the token. */
  listKeys(): readonly ListedKey[] {
    return listKeys(this.#control);
  }

  /** CKA_ID of each private key with this label, in hexadecimal digits. */
  findKeyIds(label: string): readonly string[] {
    return findKeyIds(this.#control, label);
  }

  /** The key pair with this label; see `findKeyPair`. It is found again after each recovery. */
  findKeyPair(label: string, algorithm: SignatureAlgorithm): TokenKeyPair | undefined {
    const pair = findKeyPair(this.#control, label, algorithm);
    if (pair !== undefined) this.#keys.add(label, algorithm, pair);
    return pair;
  }

  /** A key pair is not in use any more: nobody looks for it after a recovery. */
  forget({ privateKey }: Pick<CryptoKeyPair, "privateKey">): void {
    this.#keys.forget(privateKey);
  }

  /** A new key pair, whatever is there already; see `generateKeyPair` in `key_pairs.ts`. */
  generateKeyPair(label: string, algorithm: SignatureAlgorithm): Promise<TokenKeyPair> {
    return this.#generate(label, randomBytes(KEY_ID_LENGTH), algorithm);
  }

  /**
   * The one key pair with this label, made where there is none: safe when several machines do so at once (see
   * `provisionKey`). Waits until the token signs with it, since a cluster does not at once.
   *
   * @throws SignerError `ERR_KEY_AMBIGUOUS`, `ERR_KEY_UNUSABLE`, `ERR_TOKEN_*`; a pair that was made and cannot
   *   be used yet stays
   */
  async provisionKeyPair(label: string, algorithm: SignatureAlgorithm): Promise<TokenKeyPair> {
    const { id, wasMade } = await provisionKey({
      shelf: this.#shelf(label, algorithm),
      label,
      wait: delay,
      random: () => randomInt(1_000) / 1_000,
    });
    this.#log("info", wasMade ? "key.generated" : "key.made_elsewhere", { label, id });
    const pair = this.findKeyPair(label, algorithm);
    if (pair === undefined) {
      throw new SignerError("ERR_KEY_NOT_FOUND", `Cannot find the key pair "${label}", which was just there`);
    }
    await this.#untilUsable(label, pair.privateKey, algorithm);
    return pair;
  }

  /** A signer with one of its keys: what `webCryptoSigner` over `TokenCrypto` is, by the direct way. */
  signer({ privateKey }: { readonly privateKey: CryptoKey }, algorithm: SignatureAlgorithm): Signer {
    if (!(privateKey instanceof TokenKey))
      throw new TypeError("Cannot sign with a key that is not the token's");
    return {
      algorithm,
      sign: async (data, timings) =>
        algorithm.encodeSignature(await this.sign(privateKey, algorithm, data, timings)),
    };
  }

  /** Random bytes of the token (C_GenerateRandom). */
  randomBytes(length: number): Buffer {
    return this.#control.generateRandom(length);
  }

  /** The PIN of every later login; see `ConnectionKeeper.usePin`. */
  usePin(pin: Secret): Promise<void> {
    return this.#keeper.usePin(pin);
  }

  /**
   * Hashes and signs the bytes, with exactly one C_SignInit and one C_Sign, and verifies the signature in
   * software. What the token can do at a second try, on another session or after a recovery, is tried once
   * more.
   *
   * @param algorithm the key's own row, or for ECDSA that of another hash
   * @param timings takes what all tries together took
   * @returns r‖s for ECDSA
   * @throws SignerError `ERR_TOKEN_*`, `ERR_PIN_REJECTED`, `ERR_SIGN_TIMEOUT`, `ERR_SIGNATURE_WRONG`, `ERR_KEY_*`
   */
  async sign(
    key: TokenKey,
    algorithm: SignatureAlgorithm,
    data: Uint8Array,
    timings: SignTimings = { queueMs: 0, tokenMs: 0 },
  ): Promise<Buffer> {
    const work: KeyedWork = { key, algorithm, data: Buffer.from(data), timings };
    const first: Attempt = { connection: this.#keeper.current };
    try {
      return await this.#signOnce(work, first);
    } catch (error) {
      if (!(await this.#isWorthAnotherTry(error, first))) throw tokenError("sign", error);
    }
    const second: Attempt = { connection: this.#keeper.current, fresh: true };
    try {
      return await this.#signOnce(work, second);
    } catch (error) {
      this.#recoverForOthers(error, second);
      throw tokenError("sign at the second try", error);
    }
  }

  /** Lets running signatures end, and ends the login; see `ConnectionKeeper.close`. */
  close(graceMs: number): Promise<boolean> {
    return this.#keeper.close(graceMs);
  }

  get #control(): graphene.Session {
    return this.#keeper.current.control;
  }

  /** On the connection that is there when the caller's turn comes; nothing was tried before that. */
  async #signOnce(work: KeyedWork, attempt: Attempt): Promise<Buffer> {
    const asked = performance.now();
    for (;;) {
      if (this.#keeper.isRecovering) await this.#keeper.settled();
      const connection = this.#keeper.current;
      attempt.connection = connection;
      this.#keys.requirePresent(work.key, connection.control);
      try {
        return await connection.sign(work, asked, attempt.fresh ?? false);
      } catch (error) {
        const wasGivenUp = error instanceof SignerError && error.code === "ERR_STOPPING";
        const isReplaced = this.#keeper.isRecovering || connection !== this.#keeper.current;
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
    const disposition = diagnose(error, connection);
    switch (disposition) {
      case "session":
        return true;
      case "busy":
        await delay(randomInt(BUSY_DELAY_MS.minimum, BUSY_DELAY_MS.maximum));
        return true;
      case "login":
      case "module":
        return this.#keeper.replace(connection, disposition, error);
      case "caller":
      case "fatal":
      case "unknown":
        return false;
    }
  }

  /** This caller has had his second try; those after him need not find out the same. */
  #recoverForOthers(error: unknown, { connection }: Attempt): void {
    const disposition = diagnose(error, connection);
    if (disposition !== "login" && disposition !== "module") return;
    this.#keeper.replace(connection, disposition, error).catch(() => {
      // In the log, and kept for those who come.
    });
  }

  async #generate(label: string, id: Buffer, algorithm: SignatureAlgorithm): Promise<TokenKeyPair> {
    const { current } = this.#keeper;
    try {
      const pair = await current.generateKeyPair(label, id, algorithm);
      this.#keys.add(label, algorithm, pair);
      return pair;
    } catch (error) {
      // An HSM that reports a failure may have made the pair all the same.
      destroyQuietly(current, label, id);
      throw error;
    }
  }

  #shelf(label: string, algorithm: SignatureAlgorithm): KeyShelf {
    return {
      ids: () => this.findKeyIds(label),
      generate: async () => {
        this.#log("info", "key.generating", { label, algorithm: algorithm.key.name });
        const id = randomBytes(KEY_ID_LENGTH);
        this.forget(await this.#generate(label, id, algorithm));
        return id.toString("hex");
      },
      destroy: (id) => destroyKeyPair(this.#control, label, Buffer.from(id, "hex")),
    };
  }

  async #untilUsable(label: string, key: TokenKey, algorithm: SignatureAlgorithm): Promise<void> {
    const start = performance.now();
    for (;;) {
      try {
        await this.sign(key, algorithm, randomBytes(32));
        return;
      } catch (error) {
        const isBusy = error instanceof SignerError && error.code === "ERR_TOKEN_BUSY";
        if (!isBusy || performance.now() - start > QUORUM_LIMIT_MS) throw error;
        this.#log("info", "key.waiting", { label, seconds: Math.round((performance.now() - start) / 1000) });
        await delay(QUORUM_DELAY_MS);
      }
    }
  }
}

/**
 * What to do about an error on a connection: a session that is gone may be one of many, or show that all of them
 * and the login are gone, which the library knows without asking the cluster.
 */
function diagnose(error: unknown, connection: Connection): Disposition {
  const disposition = dispositionOf(error);
  return disposition === "session" && !connection.isAlive() ? "login" : disposition;
}

function destroyQuietly(connection: Connection, label: string, id: Buffer): void {
  try {
    destroyKeyPair(connection.control, label, id);
  } catch {
    // A token that is away was not able to make it either.
  }
}
