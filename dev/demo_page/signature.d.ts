/** Types of signature.js, for Node. */

/** Something that was looked at, and what came out, in a sentence. */
export interface Check {
  readonly holds: boolean;
  readonly sentence: string;
}

/** What a SignedData says, and what of it was found true. */
export interface SignatureReport {
  /** Whether all that was checked holds. */
  readonly isVerified: boolean;
  readonly checks: readonly Check[];
  /** What nobody here has looked at, in sentences. */
  readonly unchecked: readonly string[];
  /** Distinguished names, RFC 4514. */
  readonly subject: string;
  readonly issuer: string;
  /** The part of each that people call it by. */
  readonly subjectCalled: string;
  readonly issuerCalled: string;
  readonly isSelfSigned: boolean;
  /** Of signing, as the signer says; `undefined` where he says none. */
  readonly time: Date | undefined;
  /** As in `RSA, 2048 bits, PKCS#1 v1.5, SHA-256`. */
  readonly algorithm: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** Hexadecimal, with colons. */
  readonly serialNumber: string;
  /** SHA-256 of the certificate, hexadecimal. */
  readonly fingerprint: string;
  readonly certificates: number;
  readonly containerBytes: number;
}

/**
 * Reads a detached SignedData (RFC 5652 §5) with one signer, and verifies it with WebCrypto over the bytes that it is
 * to be for.
 *
 * @param container DER; bytes after it, such as the zeros of a placeholder, are left
 * @throws Error when it is not one, or has an algorithm that is not known
 */
export declare function verifySignedData(
  container: Uint8Array<ArrayBuffer>,
  content: Uint8Array<ArrayBuffer>,
): Promise<SignatureReport>;
