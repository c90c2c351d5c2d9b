import { fileURLToPath } from "node:url";
import type * as graphene from "graphene-pk11";
import type { Mechanism, SignatureAlgorithm } from "../algorithms.ts";
import { deferred } from "../deferred.ts";
import { messageOf, SignerError } from "../errors.ts";
import { describeReturnCode } from "./return_codes.ts";

/** What `native/sign.c` exports. */
interface Addon {
  library(path: string): object;
  sign(
    library: object,
    session: Buffer,
    mechanism: Uint32Array,
    key: Buffer,
    input: Buffer,
    callback: (rv: number, signature: Buffer | undefined) => void,
  ): void;
}

/** The path of the addon, which is a PKCS#11 library too: that of the last `NativeSign` that was made. */
export function addonPath(): string {
  return fileURLToPath(new URL("../../build/Release/hsm_sign.node", import.meta.url));
}

/** C_SignInit and C_Sign on a thread, with the functions that pkcs11js uses for all the rest. */
export class NativeSign {
  readonly #addon: Addon;
  readonly #library: object;

  /**
   * Loads a library; who loads `addonPath` next gets the same functions.
   *
   * @throws Error with what dlopen says
   */
  constructor(modulePath: string) {
    this.#addon = loadAddon();
    this.#library = this.#addon.library(modulePath);
  }

  /**
   * One C_SignInit and one C_Sign (PKCS#11 v2.40 §5.11), and nothing else: on CloudHSM every further call is a
   * request to the cluster. Both run on a thread of libuv's pool; the input is copied before this returns.
   *
   * @param session leased by the caller, and by nobody else until the promise settles
   * @param input what the mechanism takes
   * @returns the signature as the token gives it: r‖s for ECDSA
   * @throws ReturnValueError
   */
  sign(
    session: graphene.Session,
    key: Buffer,
    { mechanism }: SignatureAlgorithm,
    input: Buffer,
  ): Promise<Buffer> {
    const { promise, resolve, reject } = deferred<Buffer>();
    this.#addon.sign(this.#library, session.handle, numbersOf(mechanism), key, input, (rv, signature) => {
      if (signature === undefined) reject(new ReturnValueError(rv));
      else resolve(signature);
    });
    return promise;
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

/** @throws SignerError when it was not built */
function loadAddon(): Addon {
  const loaded: { exports: unknown } = { exports: {} };
  try {
    process.dlopen(loaded, addonPath());
  } catch (error) {
    throw new SignerError(
      "ERR_MODULE_UNUSABLE",
      `Cannot load the service's own addon: ${messageOf(error)} (npm run build:native builds it)`,
      { cause: error },
    );
  }
  return loaded.exports as Addon;
}
