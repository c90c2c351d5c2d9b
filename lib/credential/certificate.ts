import { type KeyObject, X509Certificate } from "node:crypto";
import * as x509 from "./x509.ts";

/** A certificate in both readings that a proof needs: OpenSSL's for signatures, x509's for extensions. */
export interface Certificate {
  readonly der: Uint8Array;
  readonly native: X509Certificate;
  readonly parsed: x509.X509Certificate;
  readonly publicKey: KeyObject;
  readonly selfSigned: boolean;
}

/**
 * OpenSSL's reading of a certificate; its key and its extensions are not looked at.
 *
 * @throws Error when it is anything else than the DER of one certificate
 */
export function nativeCertificate(der: Uint8Array): X509Certificate {
  const native = new X509Certificate(der);
  // OpenSSL takes PEM too, and bytes after the certificate, which a SignedData would carry along.
  if (!native.raw.equals(der)) throw new RangeError("it is not the DER of one certificate");
  return native;
}

/** @throws Error when any part of it cannot be read */
export function parseCertificate(der: Uint8Array): Certificate {
  const native = nativeCertificate(der);
  const parsed = new x509.X509Certificate(der as Uint8Array<ArrayBuffer>);
  // x509 reads them when they are asked for; what is wrong with them shall be found here.
  void [parsed.extensions, parsed.signatureAlgorithm, parsed.notBefore, parsed.notAfter];
  const { publicKey } = native;
  return { der, native, parsed, publicKey, selfSigned: isSelfSigned(native) };
}

/** The names of a signature's algorithm, and of its hash unless the algorithm brings its own. */
export function signatureNames({ signatureAlgorithm }: x509.X509Certificate): {
  name: string;
  hash?: string;
} {
  const { name, hash } = signatureAlgorithm as { name: string; hash?: { name?: string } };
  return hash?.name === undefined ? { name } : { name, hash: hash.name };
}

/** Whether it has its own name as its issuer's, and its own key made its signature. */
export function isSelfSigned(native: X509Certificate): boolean {
  return native.subject === native.issuer && native.verify(native.publicKey);
}

/** The certificates in their order, each once. */
export function distinct(ders: readonly Uint8Array[]): Uint8Array[] {
  return [...new Map(ders.map((der) => [Buffer.from(der).toString("latin1"), der])).values()];
}
