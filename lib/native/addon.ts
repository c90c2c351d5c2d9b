import { fileURLToPath } from "node:url";
import { messageOf, SignerError } from "../errors.ts";

/** All that a signature takes but a session; with a relay, its session may go to one that stands by there. */
export type Signing = readonly [
  library: object,
  mechanism: Uint32Array,
  key: Buffer,
  input: Uint8Array,
  verifier: object | undefined,
  data: Buffer,
  relay: object | undefined,
  callback: (
    rv: number,
    /** Of one that stood by, until its C_SignInit; otherwise 0. */
    stoodMs: number,
    tokenMs: number,
    /** The one that has the session now, or 0. */
    heir: number,
    signature: Buffer | undefined,
    isValid: boolean | undefined,
  ) => void,
];

/** What the C beside this file exports: `addon.c`, `sign.c`, `hash.c`. */
export interface Addon {
  /** Whether the runtime exports an OpenSSL; without one `verifier` and `digest` give `undefined`. */
  readonly hasOpenssl: boolean;
  library(path: string): object;
  /** @param form of the signature: padding, salt length, length; `struct signature_form` of `verify.h` */
  verifier(spki: Buffer, hash: string, form: Uint32Array): object | undefined;
  sign(session: Buffer, ...signing: Signing): void;
  /** Where signatures stand by for the sessions of one pool. */
  relay(): object;
  /** From now on no session is handed over there. */
  closeRelay(relay: object): void;
  /** @returns what the signature is called by that gets the session of another one, from 1 on */
  standBy(...signing: Signing): number;
  /** Whether it stood by still: its callback is never called then. */
  withdraw(relay: object, ticket: number): boolean;
  /** The digest of a document that is still to come. What is hashed on a thread, and when, `digest.c` decides. */
  digest(hash: string): object | undefined;
  /**
   * Takes a copy of bytes.
   *
   * @returns 0, or how many are queued, where the caller should `settle` before there are more
   */
  update(digest: object, bytes: Buffer): number;
  /** @param callback is called, later, when no more than so many bytes are queued; one at a time for each digest */
  settle(digest: object, atMost: number, callback: () => void): void;
  /** The digest, once; `undefined` as long as bytes are queued. */
  final(digest: object): Buffer | undefined;
  /** Frees what is queued: there will be no digest. */
  abandon(digest: object): void;
  /** Gives the memory of bytes back at once, where they have an ArrayBuffer of their own: it is detached. */
  release(bytes: Buffer): void;
}

/** The path of the addon, which is a PKCS#11 library too: that of the last `NativeSign` that was made. */
export function addonPath(): string {
  return fileURLToPath(new URL("../../build/Release/hsm_sign.node", import.meta.url));
}

/** @throws SignerError `ERR_MODULE_UNUSABLE` when it was not built */
export function loadAddon(): Addon {
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
