import type { KeyObject } from "node:crypto";
import type * as graphene from "graphene-pk11";
import type { Mechanism, SignatureAlgorithm } from "../algorithms.ts";
import { type Deferred, deferred } from "../deferred.ts";
import { type Addon, loadAddon, type Signing } from "../native/addon.ts";
import type { SignTimings } from "../signer.ts";
import { describeReturnCode } from "./return_codes.ts";
import type { PassOn } from "./session_pool.ts";
import type { TokenKey } from "./token_key.ts";
import { requireValid, tokenInput, wrongSignature } from "./token_sign.ts";
import type { StandBy } from "./waiting_line.ts";

/** What the addon is told of a key and an algorithm. */
interface Way {
  readonly mechanism: Uint32Array;
  readonly verifier: object | undefined;
}

/** One signature, whatever it takes. */
export interface SignWork {
  readonly key: Pick<TokenKey, "publicKeyObject"> & { readonly p11Object: { readonly handle: Buffer } };
  readonly algorithm: SignatureAlgorithm;
  /** What is hashed and signed. */
  readonly data: Buffer;
  /** Takes what it took, whatever came of it. */
  readonly timings: SignTimings;
}

/** How a signature's session may pass to one that stands by. */
export interface Succession {
  /** Of `NativeSign.relay`: where that one stands by. */
  readonly relay: object;
  /** Told when it has, before the signature itself is. */
  readonly passOn: PassOn;
}

/**
 * C_SignInit, C_Sign and the verification of what they gave on one thread, with the functions that pkcs11js uses for
 * all the rest.
 */
export class NativeSign {
  readonly #addon: Addon;
  readonly #library: object;
  readonly #ways = new WeakMap<KeyObject, Map<string, Way>>();
  /** Whether signatures are verified on the thread that made them; otherwise `node:crypto` verifies them. */
  readonly verifies: boolean;

  /**
   * Loads a library; who loads `addonPath` next gets the same functions.
   *
   * @param mayVerify whether to verify on the thread where that is possible
   * @throws Error with what dlopen says
   */
  constructor(modulePath: string, mayVerify = true) {
    this.#addon = loadAddon();
    this.#library = this.#addon.library(modulePath);
    this.verifies = mayVerify && this.#addon.hasOpenssl;
  }

  /**
   * One C_SignInit and one C_Sign (PKCS#11 v2.40 §5.11), and nothing else: on CloudHSM every further call is a
   * request to the cluster. Both run on a thread of the addon's own; the bytes are copied before this returns.
   *
   * @param session leased by the caller, and by nobody else until the promise settles
   * @param succession where its session may pass to another signature, if this one was found to be right on the thread
   * @returns the signature as the token gives it, verified over the data: r‖s for ECDSA
   * @throws ReturnValueError; SignerError `ERR_SIGNATURE_WRONG`
   */
  sign(session: Pick<graphene.Session, "handle">, work: SignWork, succession?: Succession): Promise<Buffer> {
    const result = deferred<Buffer>();
    try {
      this.#addon.sign(session.handle, ...this.#signing(work, succession, result));
    } catch (error) {
      result.reject(error);
    }
    return result.promise;
  }

  /** Where signatures stand by for the sessions of one pool. */
  relay(): object {
    return this.#addon.relay();
  }

  /** From now on no session is handed over there. */
  closeRelay(relay: object): void {
    this.#addon.closeRelay(relay);
  }

  /**
   * Has a signature stand by: a thread that has signed with the same relay goes on with it in the same session. What
   * it takes, the key's handle among it, is what it takes now. Only where `verifies`: nothing is handed over before a
   * signature was found to be right.
   *
   * @param waitedMs how long it has waited already, in milliseconds
   */
  standBy(work: SignWork, succession: Succession, waitedMs: number): StandBy<Buffer> {
    const result = deferred<Buffer>();
    const ticket = this.#addon.standBy(...this.#signing(work, succession, result, waitedMs));
    return { ticket, result: result.promise, withdraw: () => this.#addon.withdraw(succession.relay, ticket) };
  }

  #signing(
    { key, algorithm, data, timings }: SignWork,
    succession: Succession | undefined,
    { resolve, reject }: Deferred<Buffer>,
    waitedMs = 0,
  ): Signing {
    const { mechanism, verifier } = this.#wayOf(key.publicKeyObject, algorithm);
    const callback: Signing[7] = (rv, stoodMs, tokenMs, heir, signature, isValid) => {
      if (heir !== 0) succession?.passOn(heir);
      timings.queueMs += waitedMs + stoodMs;
      timings.tokenMs += tokenMs;
      if (signature === undefined) reject(new ReturnValueError(rv));
      else if (isValid === false) reject(wrongSignature());
      else if (isValid) resolve(signature);
      else resolve(requireValid(key, algorithm, data, signature).then(() => signature));
    };
    const input = tokenInput(algorithm, data);
    const { handle } = key.p11Object;
    const { relay } = succession ?? {};
    return [this.#library, mechanism, handle, input, verifier, data, relay, callback];
  }

  /** Made once for each key and way to sign with it. */
  #wayOf(publicKey: KeyObject, algorithm: SignatureAlgorithm): Way {
    const name = algorithm.scheme + algorithm.hash.nodeName;
    const known = this.#ways.get(publicKey);
    const way = known?.get(name);
    if (way !== undefined) return way;
    const made = {
      mechanism: numbersOf(algorithm.mechanism),
      verifier: this.#verifier(publicKey, algorithm),
    };
    if (known === undefined) this.#ways.set(publicKey, new Map([[name, made]]));
    else known.set(name, made);
    return made;
  }

  #verifier(
    publicKey: KeyObject,
    { hash, verifyOptions, rawSignatureLength }: SignatureAlgorithm,
  ): object | undefined {
    if (!this.verifies) return undefined;
    const { padding = 0, saltLength = 0 } = verifyOptions;
    const spki = publicKey.export({ type: "spki", format: "der" });
    return this.#addon.verifier(spki, hash.nodeName, Uint32Array.of(padding, saltLength, rawSignatureLength));
  }
}

/** A return value of PKCS#11 other than CKR_OK, as pkcs11js reports it: by its `code`. */
export class ReturnValueError extends Error {
  readonly code: number;

  constructor(code: number) {
    super(describeReturnCode(code));
    this.name = "ReturnValueError";
    this.code = code;
  }
}

function numbersOf({ mechanism, pss }: Mechanism): Uint32Array {
  return pss === undefined
    ? Uint32Array.of(mechanism)
    : Uint32Array.of(mechanism, pss.hashAlg, pss.mgf, pss.saltLen);
}
