import type * as graphene from "graphene-pk11";
import type { SignatureAlgorithm } from "../algorithms.ts";
import { SignerError } from "../errors.ts";
import type { Log } from "../log.ts";
import { findKeyPair, type TokenKeyPair } from "./key_pairs.ts";
import type { TokenKey } from "./token_key.ts";

interface KnownKey {
  readonly label: string;
  readonly algorithm: SignatureAlgorithm;
  readonly pair: TokenKeyPair;
  /** Why it cannot be used at present. */
  lost?: SignerError | undefined;
  /** When it was last looked for, on the clock of `performance.now`. */
  lookedAt: number;
}

/** A lost key is looked for this often at most: anybody can ask for a signature, and a look costs requests. */
const LOOK_AGAIN_MS = 1_000;

/**
 * The key pairs that are in use. Handles are good for one login: on each new one every pair is found again. A
 * pair that is not there any more is lost for itself alone; the others sign on, and it is used again when it
 * comes back under its label.
 */
export class KnownKeys {
  readonly #keys = new Map<CryptoKey, KnownKey>();
  readonly #log: Log;

  constructor(log: Log) {
    this.#log = log;
  }

  add(label: string, algorithm: SignatureAlgorithm, pair: TokenKeyPair): void {
    this.#keys.set(pair.privateKey, { label, algorithm, pair, lookedAt: performance.now() });
  }

  /** From now on nobody misses the key. */
  forget(privateKey: CryptoKey): void {
    this.#keys.delete(privateKey);
  }

  /**
   * Finds all of them again.
   *
   * @throws SignerError when the token fails, other than by lacking a key
   */
  resolve(session: graphene.Session): void {
    for (const known of this.#keys.values()) this.#look(known, session);
  }

  /**
   * Lets a key pass that is there, and looks for one that was lost.
   *
   * @throws SignerError `ERR_KEY_*` with what became of it; or, when the token fails, its own error
   */
  requirePresent(privateKey: TokenKey, session: graphene.Session): void {
    const known = this.#keys.get(privateKey);
    if (known?.lost === undefined) return;
    if (performance.now() - known.lookedAt >= LOOK_AGAIN_MS) {
      try {
        this.#look(known, session);
      } catch (error) {
        throw error instanceof SignerError ? (error.cause ?? error) : error;
      }
    }
    if (known.lost !== undefined) throw known.lost;
  }

  #look(known: KnownKey, session: graphene.Session): void {
    known.lookedAt = performance.now();
    const before = known.lost;
    try {
      adopt(known, findKeyPair(session, known.label, known.algorithm));
      known.lost = undefined;
    } catch (error) {
      if (!(error instanceof SignerError) || !error.code.startsWith("ERR_KEY_")) throw error;
      known.lost = error;
    }
    const { label, lost } = known;
    if (lost !== undefined && before === undefined) this.#log("error", "key.lost", { label, reason: lost });
    if (lost === undefined && before !== undefined) this.#log("info", "key.found_again", { label });
  }
}

/** Takes over the handles of a pair that was found, if it is the same one. */
function adopt({ label, pair }: KnownKey, found: TokenKeyPair | undefined): void {
  if (found === undefined) {
    throw new SignerError("ERR_KEY_NOT_FOUND", `Cannot find the key pair "${label}" on the token any more`);
  }
  if (!found.publicKey.publicKeyObject.equals(pair.publicKey.publicKeyObject)) {
    throw new SignerError(
      "ERR_KEY_UNUSABLE",
      `Cannot sign with the key pair "${label}": it is another one now`,
    );
  }
  pair.privateKey.p11Object = found.privateKey.p11Object;
  pair.publicKey.p11Object = found.publicKey.p11Object;
}
