import type { SignatureAlgorithm } from "../algorithms.ts";
import { messageOf } from "../errors.ts";
import { isObjectIdentifier, parseDistinguishedName } from "./distinguished_name.ts";
import { documentKeyUsage } from "./document_key_usage.ts";
import { pemText } from "./pem.ts";
import * as x509 from "./x509.ts";

export interface CertificateRequestOptions {
  /** Holds the private key; the request is signed with it. */
  readonly crypto: Crypto;
  readonly keys: CryptoKeyPair;
  readonly algorithm: SignatureAlgorithm;
  /** A distinguished name (RFC 4514). */
  readonly subject: string;
  /** `documentSigning`, `emailProtection`, or object identifiers in dotted form. */
  readonly extendedKeyUsages?: readonly string[];
  /** `email:…`, `dns:…` or `uri:…`. */
  readonly subjectAlternativeNames?: readonly string[];
}

const EXTENDED_KEY_USAGES: ReadonlyMap<string, string> = new Map([
  ["documentSigning", "1.3.6.1.5.5.7.3.36"], // RFC 9336
  ["emailProtection", "1.3.6.1.5.5.7.3.4"],
]);

interface NameKind {
  readonly prefix: string;
  readonly type: x509.GeneralNameType;
  readonly fits: RegExp;
  readonly rule: string;
}

/** Kinds of names that whoever signs documents may have, and what RFC 5280 §4.2.1.6 says of them. */
const NAME_KINDS: readonly NameKind[] = [
  {
    prefix: "email",
    type: "email",
    fits: /^[!-?A-~]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?$/,
    rule: "an address in ASCII, like name@example.com",
  },
  {
    prefix: "dns",
    type: "dns",
    fits: /^(?=.{1,253}$)(?:\*\.)?(?!-)[A-Za-z0-9-]{1,63}(?<!-)(?:\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*$/,
    rule: "a host name in ASCII, like www.example.com",
  },
  {
    prefix: "uri",
    type: "url",
    fits: /^[A-Za-z][A-Za-z0-9+.-]*:[!-~]+$/,
    rule: "an absolute URI in ASCII, like https://example.com/",
  },
];

/**
 * Makes a PKCS#10 request for a certificate (RFC 2986), signed by its own key. It asks for keyUsage
 * digitalSignature and nonRepudiation, and for the extendedKeyUsage and the subjectAltName that are given
 * (extensionRequest, RFC 2985 §5.4.2); the CA decides what of it becomes true.
 *
 * @returns the request, DER
 * @throws RangeError that says what is wrong with the subject, a usage or a name
 */
export async function createCertificateRequest(options: CertificateRequestOptions): Promise<Uint8Array> {
  const { crypto, keys, algorithm } = options;
  const request = await x509.Pkcs10CertificateRequestGenerator.create(
    {
      name: subjectName(options.subject),
      keys,
      signingAlgorithm: algorithm.signParams as Algorithm,
      extensions: [
        documentKeyUsage(),
        ...extendedKeyUsage(options.extendedKeyUsages ?? []),
        ...subjectAlternativeName(options.subjectAlternativeNames ?? []),
      ],
    },
    crypto,
  );
  return new Uint8Array(request.rawData);
}

/** The request as CAs take it: PEM (RFC 7468 §7). */
export function certificateRequestPem(der: Uint8Array): string {
  return pemText("CERTIFICATE REQUEST", der);
}

function subjectName(text: string): x509.Name {
  try {
    return parseDistinguishedName(text);
  } catch (error) {
    throw new RangeError(`Cannot request the subject "${text}": ${messageOf(error)}`, { cause: error });
  }
}

function extendedKeyUsage(usages: readonly string[]): x509.Extension[] {
  if (usages.length === 0) return [];
  return [new x509.ExtendedKeyUsageExtension([...new Set(usages.map(usageIdentifier))])];
}

function usageIdentifier(usage: string): string {
  const identifier = EXTENDED_KEY_USAGES.get(usage) ?? usage;
  if (isObjectIdentifier(identifier)) return identifier;
  throw new RangeError(
    `Cannot request the extendedKeyUsage "${usage}": it is none of ${[...EXTENDED_KEY_USAGES.keys()].join(", ")}, ` +
      "and no object identifier like 1.3.6.1.5.5.7.3.36",
  );
}

function subjectAlternativeName(names: readonly string[]): x509.Extension[] {
  if (names.length === 0) return [];
  return [new x509.SubjectAlternativeNameExtension(names.map(generalName))];
}

function generalName(name: string): x509.JsonGeneralName {
  const [, kind = "", value = ""] = /^(\w+):(.*)$/su.exec(name) ?? [];
  const row = NAME_KINDS.find(({ prefix }) => prefix === kind.toLowerCase());
  if (row === undefined) {
    throw new RangeError(
      `Cannot request the subjectAltName "${name}": it does not begin with email:, dns: or uri:`,
    );
  }
  if (!row.fits.test(value)) {
    throw new RangeError(`Cannot request the subjectAltName "${name}": it must be ${row.rule}`);
  }
  return { type: row.type, value };
}
