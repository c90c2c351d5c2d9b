import { type ErrorCode, SignerError } from "../errors.ts";
import { isSelfSigned, nativeCertificate, signatureNames } from "./certificate.ts";
import { proveChain } from "./chain.ts";
import type { NativeCertificate } from "./native_certificate.ts";
import { nameText } from "./printable.ts";
import * as x509 from "./x509.ts";

/** What a person wants to know of a certificate; all of it goes into JSON as it is. */
export interface CertificateReport {
  /** RFC 4514, the most specific part first. */
  readonly subject: string;
  readonly issuer: string;
  /** Hexadecimal, in capitals. */
  readonly serialNumber: string;
  /** ISO 8601, UTC. */
  readonly notBefore: string;
  readonly notAfter: string;
  /** Whole days until it expires; 0 on the last day, negative afterwards. */
  readonly daysLeft: number;
  readonly isSelfSigned: boolean;
  /** WebCrypto's names: `ECDSA SHA-256`, `RSA-PSS SHA-384`, `Ed25519`; the number of one that has none. */
  readonly signatureAlgorithm: string;
  /** `RSA-2048`, `P-256`; `unknown` where OpenSSL does not know it. */
  readonly publicKey: string;
  /** SHA-256 of the certificate, hexadecimal with colons, as OpenSSL prints it. */
  readonly fingerprint: string;
}

export type ProofReport =
  | { readonly isProven: true }
  | { readonly isProven: false; readonly code: ErrorCode; readonly message: string };

export interface ChainReport {
  /** In the order of the chain, without those that cannot be read. */
  readonly certificates: readonly CertificateReport[];
  /** What `proveChain` thinks of it. */
  readonly proof: ProofReport;
}

const DAY_MS = 86_400_000;

/** OpenSSL's names of the curves that have a better known one. */
const CURVES: ReadonlyMap<string, string> = new Map([
  ["prime256v1", "P-256"],
  ["secp384r1", "P-384"],
  ["secp521r1", "P-521"],
]);

/**
 * Describes a chain for a person, whatever state it is in.
 *
 * @param certificates DER, leaf first
 */
export async function describeChain(certificates: readonly Uint8Array[], now: Date): Promise<ChainReport> {
  const described = await Promise.all(certificates.map((der) => describeCertificate(der, now)));
  return {
    certificates: described.flat(),
    proof: await describeProof(certificates, now),
  };
}

async function describeProof(certificates: readonly Uint8Array[], now: Date): Promise<ProofReport> {
  try {
    await proveChain(certificates, now);
    return { isProven: true };
  } catch (error) {
    if (!(error instanceof SignerError)) throw error;
    return { isProven: false, code: error.code, message: error.message };
  }
}

async function describeCertificate(der: Uint8Array, now: Date): Promise<CertificateReport[]> {
  try {
    const native = nativeCertificate(der);
    const notAfter = new Date(native.validTo);
    const { name, hash = "" } = signatureNames(new x509.X509Certificate(der as Uint8Array<ArrayBuffer>));
    return [
      {
        subject: nameText(native.subject),
        issuer: nameText(native.issuer),
        serialNumber: native.serialNumber,
        notBefore: new Date(native.validFrom).toISOString(),
        notAfter: notAfter.toISOString(),
        daysLeft: Math.floor((notAfter.getTime() - now.getTime()) / DAY_MS),
        signatureAlgorithm: `${name} ${hash}`.trim(),
        ...(await describeKey(native)),
        fingerprint: native.fingerprint256,
      },
    ];
  } catch {
    // The proof says what is wrong with it.
    return [];
  }
}

async function describeKey(
  native: NativeCertificate,
): Promise<Pick<CertificateReport, "publicKey" | "isSelfSigned">> {
  try {
    const isSelf = await isSelfSigned(native);
    const { asymmetricKeyType = "unknown", asymmetricKeyDetails = {} } = native.publicKey;
    const { modulusLength, namedCurve } = asymmetricKeyDetails;
    const type = asymmetricKeyType.toUpperCase();
    const publicKey =
      namedCurve !== undefined
        ? (CURVES.get(namedCurve) ?? namedCurve)
        : [type, modulusLength].filter(Boolean).join("-");
    return { publicKey, isSelfSigned: isSelf };
  } catch {
    return { publicKey: "unknown", isSelfSigned: false };
  }
}
