import { type KeyObject, X509Certificate } from "node:crypto";

/** What the platform reads of a certificate; on Node that is OpenSSL's reading. */
export class NativeCertificate {
  protected readonly platform: X509Certificate;

  /** @throws Error when it is no certificate */
  constructor(der: Uint8Array) {
    this.platform = new X509Certificate(der);
  }

  /** DER, of the certificate alone. */
  get raw(): Buffer {
    return this.platform.raw;
  }

  /** As OpenSSL writes a name: a line for each part, the most general one first. */
  get subject(): string {
    return this.platform.subject;
  }

  get issuer(): string {
    return this.platform.issuer;
  }

  /** Hexadecimal, in capitals, two digits for each byte. */
  get serialNumber(): string {
    return this.platform.serialNumber;
  }

  /** What `Date` reads. */
  get validFrom(): string {
    return this.platform.validFrom;
  }

  get validTo(): string {
    return this.platform.validTo;
  }

  /** SHA-256 of the certificate, hexadecimal with colons. */
  get fingerprint256(): string {
    return this.platform.fingerprint256;
  }

  get ca(): boolean {
    return this.platform.ca;
  }

  /** @throws Error when the platform does not know its algorithm */
  get publicKey(): KeyObject {
    return this.platform.publicKey;
  }

  /** Whether the key made its signature. */
  async isSignedBy(key: KeyObject): Promise<boolean> {
    return this.platform.verify(key);
  }

  /** Whether names, key identifiers and the issuer's keyUsage fit (RFC 5280 §6.1.3); nothing of signatures. */
  isIssuedBy(issuer: NativeCertificate): boolean {
    return this.platform.checkIssued(issuer.platform);
  }
}
