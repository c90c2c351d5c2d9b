import { randomBytes } from "node:crypto";
import type { SignatureAlgorithm } from "../algorithms.ts";
import { SignerError } from "../errors.ts";
import type { Signer } from "../signer.ts";
import { verifySignature } from "../verify_signature.ts";
import type { ProvenChain } from "./chain.ts";
import { nameText } from "./printable.ts";

/** A key pair that is kept somewhere, such as on a token. */
export interface StoredKeyPair extends CryptoKeyPair {
  /** What an operator should know of the key. */
  readonly warnings: readonly string[];
}

/** A key and a chain that are proven to belong together: all that a SignedData needs besides the digest. */
export interface Credential {
  /** The label of the key pair. */
  readonly label: string;
  readonly signer: Signer;
  readonly chain: ProvenChain;
  /** The pair that the signer signs with. */
  readonly keys: StoredKeyPair;
}

/**
 * Proves with one signature that the leaf certifies the signer's key.
 *
 * @throws SignerError `ERR_CERTIFICATE_KEY_MISMATCH`, or what the signer throws
 */
export async function proveCredential(
  label: string,
  signer: Signer,
  chain: ProvenChain,
  keys: StoredKeyPair,
): Promise<Credential> {
  const probe = randomBytes(32);
  const signature = await signer.sign(probe);
  if (!(await fits(signer.algorithm, chain, probe, signature))) {
    throw new SignerError(
      "ERR_CERTIFICATE_KEY_MISMATCH",
      `Cannot sign with the certificate "${nameText(chain.leaf.subject)}": ` +
        `it is not for the key pair "${label}"`,
    );
  }
  return Object.freeze({ label, signer, chain, keys });
}

async function fits(
  algorithm: SignatureAlgorithm,
  chain: ProvenChain,
  data: Uint8Array,
  signature: Uint8Array,
): Promise<boolean> {
  try {
    return await verifySignature(algorithm, chain.leaf.publicKey, data, signature, "der");
  } catch {
    // It throws where the certificate is for another type of key altogether.
    return false;
  }
}
