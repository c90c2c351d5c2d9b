import type { KeyObject } from "node:crypto";
import { lacks } from "../runtime.ts";
import { DenoCertificate } from "./deno_certificate.ts";
import { NativeCertificate } from "./native_certificate.ts";
import * as x509 from "./x509.ts";

/** A certificate in both readings that a proof needs: the platform's for signatures, x509's for extensions. */
export interface Certificate {
  readonly der: Uint8Array;
  readonly native: NativeCertificate;
  readonly parsed: x509.X509Certificate;
  readonly publicKey: KeyObject;
  readonly selfSigned: boolean;
}

/**
 * The platform's reading of a certificate; its key and its extensions are not looked at.
 *
 * @throws Error when it is anything else than the DER of one certificate
 */
export function nativeCertificate(der: Uint8Array): NativeCertificate {
  const native = lacks("X.509") ? new DenoCertificate(der) : new NativeCertificate(der);
  // OpenSSL takes PEM too, and bytes after the certificate, which a SignedData would carry along.
  if (!native.raw.equals(der)) throw new RangeError("it is not the DER of one certificate");
  return native;
}

/** @throws Error when any part of it cannot be read */
export async function parseCertificate(der: Uint8Array): Promise<Certificate> {
  const native = nativeCertificate(der);
  const parsed = new x509.X509Certificate(der as Uint8Array<ArrayBuffer>);
  // x509 reads them when they are asked for; what is wrong with them shall be found here.
  void [parsed.extensions, parsed.signatureAlgorithm, parsed.notBefore, parsed.notAfter];
  const { publicKey } = native;
  return { der, native, parsed, publicKey, selfSigned: await isSelfSigned(native) };
}

/** The names of a signature's algorithm, and of its hash unless the algorithm brings its own. */
export function signatureNames({ signatureAlgorithm }: x509.X509Certificate): {
  name: string;
  hash?: string;
} {
  // Ed448 comes as a curve of "EdDSA".
  const { namedCurve, name, hash } = signatureAlgorithm as Algorithm & {
    namedCurve?: string;
    hash?: { name?: string };
  };
  return hash?.name === undefined ? { name: namedCurve ?? name } : { name, hash: hash.name };
}

/** Whether it has its own name as its issuer's, and its own key made its signature. */
export async function isSelfSigned(native: NativeCertificate): Promise<boolean> {
  return native.subject === native.issuer && (await native.isSignedBy(native.publicKey));
}

/** The certificates in their order, each once. */
export function distinct(ders: readonly Uint8Array[]): Uint8Array[] {
  return [...new Map(ders.map((der) => [Buffer.from(der).toString("latin1"), der])).values()];
}
