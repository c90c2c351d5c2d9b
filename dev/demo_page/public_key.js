import { at, oidOf, readDer, TAG } from "./der.js";

/** @import { Der } from "./der.js" */

/** @type {Readonly<Record<string, string>>} */
const HASHES = {
  "1.3.14.3.2.26": "SHA-1",
  "2.16.840.1.101.3.4.2.1": "SHA-256",
  "2.16.840.1.101.3.4.2.2": "SHA-384",
  "2.16.840.1.101.3.4.2.3": "SHA-512",
};
const PSS = "1.2.840.113549.1.1.10";
/**
 * Algorithm identifiers that name a hash too: RFC 8017 §A.2.4, RFC 5758 §3.2.
 *
 * @type {Readonly<Record<string, string>>}
 */
const SIGNATURE_HASHES = {
  "1.2.840.113549.1.1.11": "SHA-256",
  "1.2.840.113549.1.1.12": "SHA-384",
  "1.2.840.113549.1.1.13": "SHA-512",
  "1.2.840.10045.4.3.2": "SHA-256",
  "1.2.840.10045.4.3.3": "SHA-384",
  "1.2.840.10045.4.3.4": "SHA-512",
};
/**
 * RFC 5480 §2.1.1.1, and the octets of a coordinate.
 *
 * @type {Readonly<Record<string, readonly [name: string, octets: number]>>}
 */
const CURVES = {
  "1.2.840.10045.3.1.7": ["P-256", 32],
  "1.3.132.0.34": ["P-384", 48],
  "1.3.132.0.35": ["P-521", 66],
};
const RSA = "1.2.840.113549.1.1.1";

/** @param {Der} identifier an AlgorithmIdentifier of a hash */
export function hashOf(identifier) {
  return known(HASHES[oidOf(at(identifier, 0))], "a hash");
}

/**
 * What a key is, in words: `RSA, 2048 bits`.
 *
 * @param {Der} keyInfo SubjectPublicKeyInfo
 */
export function describeKey(keyInfo) {
  if (oidOf(at(keyInfo, 0, 0)) !== RSA) return `ECDSA, ${curveOf(keyInfo)[0]}`;
  const modulus = at(readDer(at(keyInfo, 1).contents.subarray(1)), 0).contents;
  return `RSA, ${8 * (modulus[0] === 0 ? modulus.length - 1 : modulus.length)} bits`;
}

/**
 * What a signature was made with, in words: `PKCS#1 v1.5, SHA-256`.
 *
 * @param {Der} keyInfo
 * @param {Der} identifier the AlgorithmIdentifier of the signature
 * @param {string} digest the hash where the identifier names none
 */
export function describeScheme(keyInfo, identifier, digest) {
  const hash = signatureHash(identifier, digest);
  if (oidOf(at(keyInfo, 0, 0)) !== RSA) return hash;
  return `${oidOf(at(identifier, 0)) === PSS ? "PSS" : "PKCS#1 v1.5"}, ${hash}`;
}

/**
 * Verifies with WebCrypto.
 *
 * @param {object} signed
 * @param {Der} signed.keyInfo SubjectPublicKeyInfo
 * @param {Der} signed.identifier the AlgorithmIdentifier of the signature
 * @param {string} signed.digest the hash where the identifier names none
 * @param {Uint8Array<ArrayBuffer>} signed.signature
 * @param {Uint8Array<ArrayBuffer>} signed.data
 * @throws Error when the algorithm is not known
 */
export async function verifySignature({ keyInfo, identifier, digest, signature, data }) {
  const hash = signatureHash(identifier, digest);
  if (oidOf(at(keyInfo, 0, 0)) !== RSA) {
    const [namedCurve, octets] = curveOf(keyInfo);
    const key = await importKey(keyInfo, { name: "ECDSA", namedCurve });
    return crypto.subtle.verify({ name: "ECDSA", hash }, key, fixedLength(signature, octets), data);
  }
  const isPss = oidOf(at(identifier, 0)) === PSS;
  const name = isPss ? "RSA-PSS" : "RSASSA-PKCS1-v1_5";
  const key = await importKey(keyInfo, { name, hash });
  const algorithm = isPss ? { name, saltLength: saltLengthOf(identifier) } : { name };
  return crypto.subtle.verify(algorithm, key, signature, data);
}

/**
 * @param {Der} keyInfo
 * @param {RsaHashedImportParams | EcKeyImportParams} algorithm
 */
function importKey(keyInfo, algorithm) {
  return crypto.subtle.importKey("spki", keyInfo.bytes, algorithm, false, ["verify"]);
}

/**
 * @param {Der} identifier
 * @param {string} digest
 */
function signatureHash(identifier, digest) {
  const oid = oidOf(at(identifier, 0));
  if (oid !== PSS) return oid === RSA ? digest : known(SIGNATURE_HASHES[oid], "a signature algorithm");
  return hashOf(at(tagged(identifier, 0xa0), 0));
}

/**
 * RFC 4055 §3.1.
 *
 * @param {Der} identifier
 */
function saltLengthOf(identifier) {
  const { contents } = at(tagged(identifier, 0xa2), 0);
  return contents.reduce((value, octet) => value * 256 + octet, 0);
}

/**
 * @param {Der} identifier of RSASSA-PSS
 * @param {number} tag of one of its parameters; the service leaves out none that is read here
 */
function tagged(identifier, tag) {
  return known(
    at(identifier, 1).children.find((child) => child.tag === tag),
    "a parameter of RSASSA-PSS",
  );
}

/** @param {Der} keyInfo */
function curveOf(keyInfo) {
  return known(CURVES[oidOf(at(keyInfo, 0, 1))], "a curve");
}

/**
 * WebCrypto wants r and s side by side: RFC 3279 §2.2.3 has them in a SEQUENCE.
 *
 * @param {Uint8Array<ArrayBuffer>} signature
 * @param {number} octets
 */
function fixedLength(signature, octets) {
  const fixed = new Uint8Array(2 * octets);
  const { tag, bytes, children } = readDer(signature);
  if (tag !== TAG.sequence || bytes.length !== signature.length || children.length !== 2) return fixed;
  for (const [index, { tag, contents }] of children.entries()) {
    const value = contents[0] === 0 ? contents.subarray(1) : contents;
    // Zeros verify nothing.
    if (tag !== TAG.integer || value.length > octets) return new Uint8Array(2 * octets);
    fixed.set(value, (index + 1) * octets - value.length);
  }
  return fixed;
}

/**
 * @template T
 * @param {T | undefined} value
 * @param {string} what
 * @returns {T}
 */
function known(value, what) {
  if (value === undefined) throw new Error(`It has ${what} that is not known here`);
  return value;
}
