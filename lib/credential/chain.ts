import { type ErrorCode, messageOf, SignerError } from "../errors.ts";
import { type Certificate, parseCertificate, signatureNames } from "./certificate.ts";
import type { NativeCertificate } from "./native_certificate.ts";
import { nameText } from "./printable.ts";
import * as x509 from "./x509.ts";

/** A chain that holds together and may sign documents now. */
export interface ProvenChain {
  /** DER, leaf first, all of them. */
  readonly certificates: readonly Uint8Array[];
  /** DER, leaf first, without the root: what a SignedData carries. A self-signed leaf stays. */
  readonly embedded: readonly Uint8Array[];
  readonly leaf: NativeCertificate;
  /** Whether the leaf is its own issuer. */
  readonly isSelfSigned: boolean;
  /** The earliest end of validity in the chain. */
  readonly notAfter: Date;
}

/** extendedKeyUsage values under which readers accept a signature on a document. */
const DOCUMENT_USAGES: ReadonlySet<string> = new Set([
  "2.5.29.37.0", // anyExtendedKeyUsage
  "1.3.6.1.5.5.7.3.4", // emailProtection
  "1.3.6.1.5.5.7.3.36", // documentSigning (RFC 9336)
  "1.3.6.1.4.1.311.10.3.12", // Microsoft document signing
  "1.2.840.113583.1.1.5", // Adobe authentic documents
]);

/** The hash of a signature, or the whole of one that brings its own. */
const STRONG_SIGNATURES = /^(SHA-(256|384|512)|Ed25519|Ed448)$/;
const MIN_RSA_BITS = 2048;

/**
 * Proves that the certificates are a chain, leaf first, whose leaf may sign documents at `now`
 * (RFC 5280 §6.1, as far as it needs no trust anchor). That the key fits is proven in `credential.ts`.
 *
 * @throws SignerError `ERR_CERTIFICATE_*` that names the certificate and what is wrong with it
 */
export async function proveChain(ders: readonly Uint8Array[], now: Date): Promise<ProvenChain> {
  const chain = await Promise.all(ders.map(parse));
  const [leaf] = chain;
  if (leaf === undefined)
    throw new SignerError("ERR_CERTIFICATE_MALFORMED", "Cannot use a chain without certificates");
  for (const [index, certificate] of chain.entries()) {
    proveDates(certificate, now);
    proveStrength(certificate, index);
    const issuer = chain[index + 1];
    if (issuer !== undefined) await proveLink(certificate, issuer, index);
  }
  proveUsage(leaf);
  const embedded = chain.filter((certificate, index) => index === 0 || !certificate.selfSigned);
  return {
    certificates: ders,
    embedded: embedded.map(({ der }) => der),
    leaf: leaf.native,
    isSelfSigned: leaf.selfSigned,
    notAfter: endOf(chain),
  };
}

/** The moment until which all of the certificates are valid, whatever else is to be said of them. */
export async function earliestEnd(ders: readonly Uint8Array[]): Promise<Date> {
  return endOf(await Promise.all(ders.map(parse)));
}

function endOf(chain: readonly Certificate[]): Date {
  return new Date(Math.min(...chain.map(({ parsed }) => parsed.notAfter.getTime())));
}

/**
 * Proves that a certificate may stand at this place of a chain, above the leaf, whoever is below it.
 *
 * @param index in the chain; 1 is the leaf's issuer
 * @throws SignerError as `proveChain` does
 */
export function proveIssuer(certificate: Certificate, index: number, now: Date): void {
  proveDates(certificate, now);
  proveStrength(certificate, index);
  proveAuthority(certificate, index - 1);
}

async function parse(der: Uint8Array, index: number): Promise<Certificate> {
  try {
    return await parseCertificate(der);
  } catch (error) {
    throw new SignerError(
      "ERR_CERTIFICATE_MALFORMED",
      `Cannot read certificate ${index + 1} of the chain: ${messageOf(error)}`,
      { cause: error },
    );
  }
}

function proveDates(certificate: Certificate, now: Date): void {
  const { notBefore, notAfter } = certificate.parsed;
  if (now < notBefore) {
    throw fault("ERR_CERTIFICATE_NOT_YET_VALID", certificate, `it is valid from ${notBefore.toISOString()}`);
  }
  if (now > notAfter) {
    throw fault("ERR_CERTIFICATE_EXPIRED", certificate, `it expired at ${notAfter.toISOString()}`);
  }
}

/** The signature of a root is looked at by nobody; every other one must stand on more than SHA-1. */
function proveStrength(certificate: Certificate, index: number): void {
  const { parsed, publicKey, selfSigned } = certificate;
  const { name, hash = name } = signatureNames(parsed);
  const isRoot = selfSigned && index > 0;
  // x509 knows no name for MD5 and its like, only the number: whatever is not known to be good is refused.
  if (!isRoot && !STRONG_SIGNATURES.test(hash)) {
    throw fault("ERR_CERTIFICATE_WEAK", certificate, `it is signed with ${hash}`);
  }
  const bits = publicKey.asymmetricKeyDetails?.modulusLength;
  if (bits !== undefined && bits < MIN_RSA_BITS) {
    throw fault("ERR_CERTIFICATE_WEAK", certificate, `its RSA key has ${bits} bits`);
  }
}

async function proveLink(subject: Certificate, issuer: Certificate, intermediates: number): Promise<void> {
  const notIssued = fault(
    "ERR_CERTIFICATE_CHAIN",
    subject,
    `the next one in the file, "${nameText(issuer.native.subject)}", did not issue it (the order is leaf first, and none between them may be missing)`,
  );
  if (!(await subject.native.isSignedBy(issuer.publicKey))) throw notIssued;
  proveAuthority(issuer, intermediates);
  // The names and key identifiers; after `proveAuthority`, since it also says no to a CA without keyCertSign.
  if (!subject.native.isIssuedBy(issuer.native)) throw notIssued;
}

function proveAuthority(issuer: Certificate, intermediates: number): void {
  const constraints = issuer.parsed.getExtension(x509.BasicConstraintsExtension);
  if (constraints?.ca !== true) throw fault("ERR_CERTIFICATE_CHAIN", issuer, "it is not a CA");
  const usages = issuer.parsed.getExtension(x509.KeyUsagesExtension)?.usages;
  if (usages !== undefined && (usages & x509.KeyUsageFlags.keyCertSign) === 0) {
    throw fault("ERR_CERTIFICATE_CHAIN", issuer, "its keyUsage has no keyCertSign");
  }
  if (constraints.pathLength !== undefined && constraints.pathLength < intermediates) {
    throw fault("ERR_CERTIFICATE_CHAIN", issuer, `its path length is limited to ${constraints.pathLength}`);
  }
}

function proveUsage(leaf: Certificate): void {
  const { parsed } = leaf;
  const usages = parsed.getExtension(x509.KeyUsagesExtension)?.usages;
  const signing = x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.nonRepudiation;
  if (usages !== undefined && (usages & signing) === 0) {
    throw fault(
      "ERR_CERTIFICATE_USAGE",
      leaf,
      "its keyUsage has neither digitalSignature nor nonRepudiation",
    );
  }
  const extended = parsed.getExtension(x509.ExtendedKeyUsageExtension)?.usages;
  if (extended !== undefined && !extended.some((usage) => DOCUMENT_USAGES.has(String(usage)))) {
    throw fault(
      "ERR_CERTIFICATE_USAGE",
      leaf,
      `its extendedKeyUsage (${extended.join(", ")}) is for something else than documents`,
    );
  }
}

function fault(code: ErrorCode, { native }: Certificate, state: string): SignerError {
  return new SignerError(code, `Cannot sign with the certificate "${nameText(native.subject)}": ${state}`);
}
