import { hash } from "node:crypto";
import type { SignatureAlgorithm } from "../algorithms.ts";
import { SignerError } from "../errors.ts";
import { verifySignature } from "../verify_signature.ts";
import type { TokenKey } from "./token_key.ts";

/** What the token takes of the bytes that are to be signed: a hash made here, or what stands for one. */
export function tokenInput(algorithm: SignatureAlgorithm, data: Uint8Array): Uint8Array {
  return algorithm.mechanismInput(hash(algorithm.hash.nodeName, data, "buffer"));
}

/**
 * Verifies a signature in software before it leaves, where the addon does not.
 *
 * @throws SignerError `ERR_SIGNATURE_WRONG` when the signature is none of these bytes with this key
 */
export async function requireValid(
  { publicKeyObject }: Pick<TokenKey, "publicKeyObject">,
  algorithm: SignatureAlgorithm,
  data: Uint8Array,
  signature: Buffer,
): Promise<void> {
  if (!(await verifySignature(algorithm, publicKeyObject, data, signature, "raw"))) throw wrongSignature();
}

/** The token's signature is none of the bytes that were given to it, with the key that was asked for. */
export function wrongSignature(): SignerError {
  return new SignerError("ERR_SIGNATURE_WRONG", "Cannot sign: the token's signature does not verify");
}
