import { randomBytes } from "node:crypto";
import type * as graphene from "graphene-pk11";
import type { SignatureAlgorithm } from "../algorithms.ts";
import type { SignerError } from "../errors.ts";
import type { Secret } from "../secret.ts";
import type { Signer } from "../signer.ts";
import { findKeyLabels } from "./key_list.ts";
import { findKeyPair, type TokenKeyPair } from "./key_pairs.ts";
import { type LibraryInfo, login, openSession, Pkcs11Module } from "./module.ts";
import { tokenError } from "./return_codes.ts";
import { beginSignature, endSignature } from "./timed_signature.ts";
import { type MechanismInfo, readMechanism, readToken, type TokenInfo } from "./token_info.ts";
import { tokenInput } from "./token_sign.ts";

/** How many sessions could be opened, and why there were no more. */
export interface SessionCount {
  readonly opened: number;
  readonly shortage: SignerError | undefined;
}

/** How long the two calls of each signature took, in milliseconds. */
export interface SignatureTimes {
  readonly init: readonly number[];
  readonly sign: readonly number[];
}

export interface MeasureOptions {
  /** Signatures that count; one more is made before them. */
  readonly signatures: number;
  /** After so many milliseconds those that were made will do. */
  readonly limitMs: number;
  /** Told before each signature. */
  onProgress(): void;
}

/**
 * A look at a token with the calls that the service makes, one step after the other, so that each can be judged by
 * itself. Unlike `Token` it tries nothing twice, mends nothing and makes nothing; the token is as it was before.
 *
 * All steps throw SignerError with what the token says.
 */
export class Examination {
  readonly #module: Pkcs11Module;
  #slot: graphene.Slot | undefined;
  /** Holds the login and reads objects. */
  #control: graphene.Session | undefined;

  private constructor(module: Pkcs11Module) {
    this.#module = module;
  }

  /** Loads the library; see `Pkcs11Module.load`. */
  static load(path: string): Examination {
    return new Examination(Pkcs11Module.load(path));
  }

  /** See `Pkcs11Module.initialize`. */
  initialize(): LibraryInfo {
    return this.#module.initialize();
  }

  tokenLabels(): readonly string[] {
    return this.#module.tokenLabels();
  }

  /** The token that the steps from here on are about; see `Pkcs11Module.slotOfToken`. */
  chooseToken(label: string | undefined): TokenInfo {
    const slot = this.#module.slotOfToken(label);
    this.#slot = slot;
    return attempt("read what the token says of itself", () => readToken(slot));
  }

  /** One C_Login, whatever it says; see `login`. */
  logIn(pin: Secret): void {
    const session = this.#open();
    try {
      login(session, pin);
    } catch (error) {
      close(session);
      throw error;
    }
    this.#control = session;
  }

  /**
   * Opens so many sessions at once and closes them again.
   *
   * @param onProgress told before each
   */
  openSessions(wanted: number, onProgress: () => void): SessionCount {
    const slot = this.#present;
    const sessions: graphene.Session[] = [];
    let shortage: SignerError | undefined;
    try {
      while (sessions.length < wanted) {
        onProgress();
        sessions.push(openSession(slot));
      }
    } catch (error) {
      shortage = tokenError("open a session", error);
    }
    for (const session of sessions) close(session);
    return { opened: sessions.length, shortage };
  }

  mechanism({ mechanism }: SignatureAlgorithm): MechanismInfo {
    const slot = this.#present;
    return attempt("read the token's mechanisms", () => readMechanism(slot, mechanism.mechanism));
  }

  /** See `findKeyPair` in `key_pairs.ts`; needs the login. */
  findKeyPair(label: string, algorithm: SignatureAlgorithm): TokenKeyPair | undefined {
    return findKeyPair(this.#loggedIn, label, algorithm);
  }

  /** See `findKeyLabels`. */
  keyLabels(): readonly string[] {
    return findKeyLabels(this.#loggedIn);
  }

  /** Signs random bytes on one session, and takes the time of both calls. */
  async measure(
    { privateKey }: TokenKeyPair,
    algorithm: SignatureAlgorithm,
    { signatures, limitMs, onProgress }: MeasureOptions,
  ): Promise<SignatureTimes> {
    const times = { init: [] as number[], sign: [] as number[] };
    const input = Buffer.from(tokenInput(algorithm, randomBytes(32)));
    await this.#withSession("measure signatures", async (session) => {
      const end = performance.now() + limitMs;
      for (let made = 0; made <= signatures && (made < 2 || performance.now() < end); made += 1) {
        onProgress();
        const start = performance.now();
        beginSignature(session, privateKey.p11Object.handle, algorithm);
        const begun = performance.now();
        endSignature(session, algorithm, input);
        // A library may look the key up at its first use.
        if (made === 0) continue;
        times.init.push(begun - start);
        times.sign.push(performance.now() - begun);
      }
    });
    return times;
  }

  /** Signs with the key as the service does, on a session of its own each time. */
  signer({ privateKey }: TokenKeyPair, algorithm: SignatureAlgorithm): Signer {
    return {
      algorithm,
      sign: (data) =>
        this.#withSession("sign", async (session) => {
          const timings = { queueMs: 0, tokenMs: 0 };
          const signatures = this.#module.signatures;
          return algorithm.encodeSignature(
            await signatures.sign(session, { key: privateKey, algorithm, data: Buffer.from(data), timings }),
          );
        }),
    };
  }

  /** Ends the login and finalizes. No call may be inside the module. */
  close(): void {
    if (this.#control !== undefined) {
      quietly(() => this.#control?.logout());
      close(this.#control);
    }
    quietly(() => this.#module.close());
  }

  async #withSession<T>(action: string, use: (session: graphene.Session) => Promise<T>): Promise<T> {
    const session = this.#open();
    try {
      return await use(session);
    } catch (error) {
      throw tokenError(action, error);
    } finally {
      close(session);
    }
  }

  #open(): graphene.Session {
    const slot = this.#present;
    return attempt("open a session", () => openSession(slot));
  }

  get #present(): graphene.Slot {
    if (this.#slot === undefined) throw new RangeError("Cannot examine a token: none was chosen");
    return this.#slot;
  }

  get #loggedIn(): graphene.Session {
    if (this.#control === undefined) throw new RangeError("Cannot read objects: nobody has logged in");
    return this.#control;
  }
}

function attempt<T>(action: string, call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw tokenError(action, error);
  }
}

function close(session: graphene.Session): void {
  quietly(() => session.close());
}

/** What cannot be closed is gone already. */
function quietly(call: () => void): void {
  try {
    call();
  } catch {
    // Nothing depends on it any more.
  }
}
