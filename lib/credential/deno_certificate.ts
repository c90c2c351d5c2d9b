import { createPublicKey, type KeyObject, webcrypto } from "node:crypto";
import { berValues } from "./ber.ts";
import { NativeCertificate } from "./native_certificate.ts";
import * as x509 from "./x509.ts";

/** Curves that have other names in OpenSSL than in WebCrypto, which knows no others. */
const CURVES: ReadonlySet<string> = new Set(["prime256v1", "secp384r1", "secp521r1"]);

/** Attribute types that OpenSSL calls otherwise than x509. */
const OPENSSL_NAMES: ReadonlyMap<string, string> = new Map([
  ["E", "emailAddress"],
  ["G", "GN"],
  ["I", "initials"],
  ["T", "title"],
  ["2.5.4.5", "serialNumber"],
  ["2.5.4.9", "street"],
  ["2.5.4.97", "organizationIdentifier"],
  ["0.9.2342.19200300.100.1.1", "UID"],
]);

/**
 * A certificate where the runtime lacks "X.509" (lib/runtime.ts). Deno verifies neither signatures with keys on P-521 nor
 * RSASSA-PSS, takes PEM and what stands behind a certificate for a part of it, compares names to the letter, and
 * writes names and numbers in a way of its own. WebCrypto verifies instead, and the rest is made up for here.
 */
export class DenoCertificate extends NativeCertificate {
  readonly #parsed: x509.X509Certificate;

  constructor(der: Uint8Array) {
    if (!isOneValue(der)) throw new RangeError("it is not the DER of one certificate");
    super(der);
    this.#parsed = new x509.X509Certificate(der as Uint8Array<ArrayBuffer>);
  }

  override get subject(): string {
    return lines(this.#parsed.subjectName);
  }

  override get issuer(): string {
    return lines(this.#parsed.issuerName);
  }

  override get serialNumber(): string {
    const digits = super.serialNumber;
    return digits.padStart(digits.length + (digits.length % 2), "0");
  }

  override get publicKey(): KeyObject {
    const key = Buffer.from(this.#parsed.publicKey.rawData);
    return createPublicKey({ key, format: "der", type: "spki" });
  }

  override async isSignedBy(key: KeyObject): Promise<boolean> {
    const { namedCurve } = key.asymmetricKeyDetails ?? {};
    if (key.asymmetricKeyType === "ed448" || (namedCurve !== undefined && !CURVES.has(namedCurve))) {
      throw new RangeError(`this runtime does not verify signatures with ${namedCurve ?? "Ed448"}`);
    }
    const spki = key.export({ type: "spki", format: "der" });
    const publicKey = new x509.PublicKey(Uint8Array.from(spki));
    return this.#parsed.verify({ publicKey, signatureOnly: true }, webcrypto as Crypto);
  }

  override isIssuedBy(issuer: DenoCertificate): boolean {
    return (
      canonical(this.issuer) === canonical(issuer.subject) &&
      isKeyIdentifierOf(this.#parsed, issuer.#parsed) &&
      maySignCertificates(issuer.#parsed)
    );
  }
}

function isOneValue(der: Uint8Array): boolean {
  try {
    return berValues(der).length === 1;
  } catch {
    return false;
  }
}

/** Names that differ in case and in spaces alone are the same (RFC 5280 §7.1). */
function canonical(name: string): string {
  return name
    .split("\n")
    .map((line) => line.replaceAll(/ +/g, " ").replace(/ $/, "").replace("= ", "=").toLowerCase())
    .join("\n");
}

function isKeyIdentifierOf(certificate: x509.X509Certificate, issuer: x509.X509Certificate): boolean {
  const wanted = certificate.getExtension(x509.AuthorityKeyIdentifierExtension)?.keyId;
  const present = issuer.getExtension(x509.SubjectKeyIdentifierExtension)?.keyId;
  return wanted === undefined || present === undefined || wanted === present;
}

function maySignCertificates(issuer: x509.X509Certificate): boolean {
  const usages = issuer.getExtension(x509.KeyUsagesExtension)?.usages;
  return usages === undefined || (usages & x509.KeyUsageFlags.keyCertSign) !== 0;
}

/** A name as OpenSSL writes it. */
function lines(name: x509.Name): string {
  const parts = name.toJSON().map((part) =>
    Object.entries(part)
      .flatMap(([type, values]) =>
        values.map((value) => `${OPENSSL_NAMES.get(type) ?? type}=${escaped(value)}`),
      )
      .join(" + "),
  );
  return parts.join("\n");
}

/** RFC 4514 §2.4, and control characters of ASCII as octets. */
function escaped(value: string): string {
  return value.replaceAll(/[,+"\\<>;]|^[ #]| $/g, "\\$&").replaceAll(/\p{Cc}/gu, (control) => {
    const octet = Buffer.from(control).toString("hex").toUpperCase();
    return octet.length === 2 ? `\\${octet}` : control;
  });
}
