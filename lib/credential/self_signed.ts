import { randomBytes } from "node:crypto";
import type { SignatureAlgorithm } from "../algorithms.ts";
import { parseDistinguishedName } from "./distinguished_name.ts";
import { documentKeyUsage } from "./document_key_usage.ts";
import * as x509 from "./x509.ts";

export interface SelfSignedOptions {
  /** Holds the private key; the certificate is signed with it. */
  readonly crypto: Crypto;
  readonly keys: CryptoKeyPair;
  readonly algorithm: SignatureAlgorithm;
  /** Subject and issuer: a distinguished name (RFC 4514). */
  readonly subject: string;
  readonly days: number;
  readonly now: Date;
}

const DAY_MS = 86_400_000;
/** Clocks differ: a certificate that is a minute too young is refused by somebody. */
const BACKDATE_MS = 5 * 60_000;

/**
 * Makes a certificate for signing documents, signed by its own key: not a CA, keyUsage digitalSignature and
 * nonRepudiation (RFC 5280 §4.2.1.3), no extendedKeyUsage, since readers disagree about which one is for
 * documents.
 *
 * @returns the certificate, DER
 */
export async function createSelfSigned(options: SelfSignedOptions): Promise<Uint8Array> {
  const { crypto, keys, algorithm } = options;
  const notBefore = new Date(Math.floor((options.now.getTime() - BACKDATE_MS) / 1000) * 1000);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned(
    {
      serialNumber: serialNumber(),
      name: parseDistinguishedName(options.subject),
      notBefore,
      notAfter: new Date(notBefore.getTime() + options.days * DAY_MS),
      keys,
      signingAlgorithm: algorithm.signParams as Algorithm,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        documentKeyUsage(),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey, false, crypto),
        await x509.AuthorityKeyIdentifierExtension.create(keys.publicKey, false, crypto),
      ],
    },
    crypto,
  );
  return new Uint8Array(certificate.rawData);
}

/** 126 random bits, positive and without a leading zero byte (RFC 5280 §4.1.2.2 asks for 20 bytes at most). */
function serialNumber(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes.toString("hex");
}
