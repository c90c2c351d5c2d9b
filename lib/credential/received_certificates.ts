import { messageOf, SignerError } from "../errors.ts";
import { type BerValue, berChildren, berValues } from "./ber.ts";
import { distinct, nativeCertificate } from "./certificate.ts";
import { holdsPrivateKey, type PemBlock, pemBlocks, pemBytes } from "./pem.ts";
import { printable } from "./printable.ts";
import { type ValueKind, valueKind } from "./value_kind.ts";

/** More than this, in bytes, is no CA's answer. */
export const MAX_RECEIVED_BYTES = 1_048_576;

const PRIVATE_KEY = "it holds a private key, which belongs on the token alone";
const REQUEST = "it holds the request for a certificate; what is wanted is the CA's answer to it";

/** What is refused wherever it stands, the worst first. */
const REFUSED: ReadonlyMap<ValueKind, string> = new Map([
  ["private key", PRIVATE_KEY],
  [
    "PKCS#12",
    "it is PKCS#12, which carries private keys, and they belong on the token alone " +
      "(openssl pkcs12 -in FILE -nokeys -out NEW takes the certificates out of it)",
  ],
  ["certificate request", REQUEST],
  ["unknown", "it holds something else than certificates"],
]);

/** Labels of PEM blocks under which certificates come; what is really in the block, the bytes say. */
const CERTIFICATE_LABELS: ReadonlySet<string> = new Set([
  "CERTIFICATE",
  "X509 CERTIFICATE",
  "PKCS7",
  "PKCS #7 SIGNED DATA",
  "CMS",
]);
const REQUEST_LABELS: ReadonlySet<string> = new Set(["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"]);
const CRL_LABEL = "X509 CRL";
const TRUSTED_LABEL = "TRUSTED CERTIFICATE";

const SEQUENCE = 0x30;
const CERTIFICATES = 0xa0;
const ID_SIGNED_DATA = Buffer.from("2a864886f70d010702", "hex");

/**
 * The certificates in what a CA sends: one or several of them, in PEM, DER or bare base64, each alone or in
 * PKCS#7 (a SignedData, RFC 5652 §5.1). CRLs are passed over; whatever else is in it is refused.
 *
 * @returns DER, in the order in which they come, each once
 * @throws SignerError `ERR_CERTIFICATE_MALFORMED` that says what it is instead
 */
export function readCertificates(bytes: Uint8Array): Uint8Array[] {
  if (bytes.length > MAX_RECEIVED_BYTES) throw malformed("it is larger than 1 MiB");
  const values = valuesIn(bytes).map((value) => ({ value, kind: valueKind(value) }));
  for (const [kind, state] of REFUSED) {
    if (values.some((value) => value.kind === kind)) throw malformed(state);
  }
  const certificates = distinct(
    values.flatMap(({ value, kind }) => {
      if (kind === "CRL") return [];
      return kind === "PKCS#7" ? certificatesInSignedData(value) : [value.bytes];
    }),
  );
  if (certificates.length === 0) throw malformed("it holds no certificate");
  for (const [index, der] of certificates.entries()) proveReadable(der, index);
  return certificates;
}

/** The outermost values, in whichever form they come. */
function valuesIn(bytes: Uint8Array): BerValue[] {
  const text = textOf(bytes);
  // Said before anything else that is wrong with it.
  if (holdsPrivateKey(text)) throw malformed(PRIVATE_KEY);
  if (bytes[0] === SEQUENCE && !/^\s*-----BEGIN/m.test(text)) return inDer(bytes);
  const blocks = decode("PEM", () => pemBlocks(text));
  if (blocks.length === 0) return inDer(bareBase64(text));
  return blocks.filter(isWanted).flatMap((block) => inDer(decode("PEM", () => pemBytes(block))));
}

/** Windows writes UTF-16 too, with a mark before it. */
function textOf(bytes: Uint8Array): string {
  const mark = bytes.length < 2 ? 0 : Buffer.from(bytes.subarray(0, 2)).readUInt16BE();
  const encoding = mark === 0xfffe ? "utf-16le" : mark === 0xfeff ? "utf-16be" : "utf-8";
  return new TextDecoder(encoding).decode(bytes);
}

function isWanted({ label }: PemBlock): boolean {
  if (REQUEST_LABELS.has(label)) throw malformed(REQUEST);
  if (label === TRUSTED_LABEL) {
    throw malformed(
      `it holds a ${label}, which has OpenSSL's trust settings after it (openssl x509 -in FILE -out NEW leaves them out)`,
    );
  }
  if (label !== CRL_LABEL && !CERTIFICATE_LABELS.has(label))
    throw malformed(`it holds a ${printable(label)}`);
  return label !== CRL_LABEL;
}

function bareBase64(text: string): Uint8Array {
  if (text.trim() === "") throw malformed("it is empty");
  try {
    const bytes = pemBytes({ label: "file", body: text });
    if (bytes[0] === SEQUENCE) return bytes;
  } catch {}
  throw malformed("it is neither PEM nor DER nor the base64 of DER");
}

const inDer = (bytes: Uint8Array): BerValue[] => decode("DER", () => berValues(bytes));

function decode<T>(form: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw malformed(`it is not ${form}: ${messageOf(error)}`, error);
  }
}

/** Attribute certificates and the like, which have tags of their own, are passed over. */
function certificatesInSignedData(contentInfo: BerValue): Uint8Array[] {
  const [contentType, content] = berChildren(contentInfo);
  if (contentType === undefined || !ID_SIGNED_DATA.equals(contentType.contents)) {
    throw malformed("it is PKCS#7 of another type than SignedData");
  }
  const [signedData] = berChildren(content);
  const certificates = berChildren(signedData).find(({ tag }) => tag === CERTIFICATES);
  return berChildren(certificates)
    .filter(({ tag }) => tag === SEQUENCE)
    .map(({ bytes }) => bytes);
}

function proveReadable(der: Uint8Array, index: number): void {
  try {
    nativeCertificate(der);
  } catch (error) {
    throw malformed(`certificate ${index + 1} in it cannot be read: ${messageOf(error)}`, error);
  }
}

function malformed(state: string, cause?: unknown): SignerError {
  return new SignerError("ERR_CERTIFICATE_MALFORMED", `Cannot read the certificates: ${state}`, { cause });
}
