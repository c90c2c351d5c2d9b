import { fileURLToPath } from "node:url";
import { messageOf, SignerError } from "../errors.ts";

/** What the C beside this file exports: `sign.c`. */
export interface Addon {
  library(path: string): object;
  /** Whether the runtime exports an OpenSSL that verifies signatures on the thread that made them. */
  readonly verifies: boolean;
  /** @param form of the signature: padding, salt length, length; `struct signature_form` of `verify.h` */
  verifier(spki: Buffer, hash: string, form: Uint32Array): object | undefined;
  sign(
    library: object,
    session: Buffer,
    mechanism: Uint32Array,
    key: Buffer,
    input: Uint8Array,
    verifier: object | undefined,
    data: Buffer,
    callback: (
      rv: number,
      tokenMs: number,
      signature: Buffer | undefined,
      isValid: boolean | undefined,
    ) => void,
  ): void;
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
