import type { SignatureAlgorithm } from "./algorithms.ts";

/** What a signature took, in milliseconds. Whoever measures something adds it. */
export interface SignTimings {
  /** Until there was a session for it. */
  queueMs: number;
  /** Inside the token, C_SignInit and C_Sign. */
  tokenMs: number;
}

/**
 * Something that signs: the seam between the SignedData and whatever holds the private key. It stands
 * alone; a token, a software key and a test double all look like this from above.
 */
export interface Signer {
  readonly algorithm: SignatureAlgorithm;

  /**
   * Hashes and signs the bytes.
   *
   * @param timings takes what the signature took, where the signer knows
   * @returns the signature value as X.509 and CMS carry it (RFC 5652 §5.4): DER for ECDSA
   * @throws SignerError when the key cannot be used now
   */
  sign(data: Uint8Array, timings?: SignTimings): Promise<Uint8Array>;
}
