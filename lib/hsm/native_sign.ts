import type { KeyObject } from "node:crypto";
import type * as graphene from "graphene-pk11";
import type { Mechanism, SignatureAlgorithm } from "../algorithms.ts";
import { deferred } from "../deferred.ts";
import { type Addon, loadAddon } from "../native/addon.ts";
import type { SignTimings } from "../signer.ts";
import { describeReturnCode } from "./return_codes.ts";
import type { TokenKey } from "./token_key.ts";
import { requireValid, tokenInput, wrongSignature } from "./token_sign.ts";

/** What the addon is told of a key and an algorithm. */
interface Way {
  readonly mechanism: Uint32Array;
  readonly verifier: object | undefined;
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
   * @param data what is hashed and signed
   * @param timings takes what the token took, whatever came of it
   * @returns the signature as the token gives it, verified over the data: r‖s for ECDSA
   * @throws ReturnValueError; SignerError `ERR_SIGNATURE_WRONG`
   */
  async sign(
    session: Pick<graphene.Session, "handle">,
    key: Pick<TokenKey, "publicKeyObject"> & { readonly p11Object: { readonly handle: Buffer } },
    algorithm: SignatureAlgorithm,
    data: Buffer,
    timings: SignTimings,
  ): Promise<Buffer> {
    const { promise, resolve, reject } = deferred<Buffer>();
    const { mechanism, verifier } = this.#wayOf(key.publicKeyObject, algorithm);
    this.#addon.sign(
      this.#library,
      session.handle,
      mechanism,
      key.p11Object.handle,
      tokenInput(algorithm, data),
      verifier,
      data,
      (rv, tokenMs, signature, isValid) => {
        timings.tokenMs += tokenMs;
        if (signature === undefined) reject(new ReturnValueError(rv));
        else if (isValid === false) reject(wrongSignature());
        else if (isValid) resolve(signature);
        else resolve(requireValid(key, algorithm, data, signature).then(() => signature));
      },
    );
    return promise;
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
