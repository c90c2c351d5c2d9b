import { constants, type VerifyKeyObjectInput } from "node:crypto";
import { ecdsaSignatureToDer } from "./ecdsa_signature.ts";

export type HashName = "SHA-256" | "SHA-384" | "SHA-512";
export type KeyAlgorithmName = "RSA-2048" | "RSA-3072" | "RSA-4096" | "P-256" | "P-384" | "P-521";
export type SignatureScheme = "PKCS1" | "PSS" | "ECDSA";

/** Everything about a hash. */
export interface HashAlgorithm {
  readonly name: HashName;
  /** The name that `node:crypto` gives it. */
  readonly nodeName: "sha256" | "sha384" | "sha512";
  /** Length of a digest, in bytes. */
  readonly length: number;
  readonly oid: string;
  /** DER of DigestInfo up to the digest itself (RFC 8017 §9.2, note 1). */
  readonly digestInfoPrefix: Uint8Array;
  /** CKM_SHA* and CKG_MGF1_SHA*, for CK_RSA_PKCS_PSS_PARAMS (PKCS#11 v2.40 §2.1.10). */
  readonly ckm: number;
  readonly ckgMgf1: number;
}

/** Everything about a kind of key pair. */
export type KeyAlgorithm =
  | { readonly name: KeyAlgorithmName; readonly kind: "RSA"; readonly modulusLength: number }
  | {
      readonly name: KeyAlgorithmName;
      readonly kind: "EC";
      readonly namedCurve: "P-256" | "P-384" | "P-521";
      /** DER of the curve's OBJECT IDENTIFIER: the value of CKA_EC_PARAMS. */
      readonly ecParams: Uint8Array;
      /** Length of r and of s, in bytes. */
      readonly coordinateLength: number;
    };

/** A PKCS#11 mechanism as pkcs11js takes it; numbers, so that this table needs no PKCS#11 library. */
export interface Mechanism {
  readonly mechanism: number;
  readonly pss?: { readonly hashAlg: number; readonly mgf: number; readonly saltLen: number };
}

/**
 * Everything about one way to sign with one kind of key: the row that the code below the configuration
 * takes, so that nothing else asks "is it RSA?".
 */
export interface SignatureAlgorithm {
  readonly scheme: SignatureScheme;
  readonly hash: HashAlgorithm;
  readonly key: KeyAlgorithm;
  /** signatureAlgorithm of SignerInfo and of certificates (RFC 5754 §3, RFC 4055 §3). */
  readonly oid: string;
  readonly parameters: "null" | "absent" | "pss";
  /** WebCrypto: what a CryptoKey of this algorithm says of itself, and what `subtle.sign` takes. */
  readonly keyAlgorithm: RsaHashedImportParams | EcKeyImportParams;
  readonly signParams: AlgorithmIdentifier | RsaPssParams | EcdsaParams;
  /** PKCS#11: the single-part mechanism over a digest that was made here. */
  readonly mechanism: Mechanism;
  /** What the mechanism takes as its data: the digest, or the DigestInfo around it. */
  mechanismInput(digest: Uint8Array): Uint8Array;
  /** Length of what the token returns, in bytes. */
  readonly rawSignatureLength: number;
  /** Length of what X.509 and CMS carry, in bytes, at most (exact for RSA). */
  readonly maxSignatureLength: number;
  /** From what the token and WebCrypto return to what X.509 and CMS carry. */
  encodeSignature(raw: Uint8Array): Uint8Array;
  /** The options of `node:crypto` verify for what the token returns. */
  readonly verifyOptions: Omit<VerifyKeyObjectInput, "key">;
}

const CKM_RSA_PKCS = 0x0001;
const CKM_RSA_PKCS_PSS = 0x000d;
const CKM_ECDSA = 0x1041;

const hex = (text: string): Uint8Array => Buffer.from(text, "hex");

const HASHES: Readonly<Record<HashName, HashAlgorithm>> = {
  "SHA-256": {
    name: "SHA-256",
    nodeName: "sha256",
    length: 32,
    oid: "2.16.840.1.101.3.4.2.1",
    digestInfoPrefix: hex("3031300d060960864801650304020105000420"),
    ckm: 0x0250,
    ckgMgf1: 0x0002,
  },
  "SHA-384": {
    name: "SHA-384",
    nodeName: "sha384",
    length: 48,
    oid: "2.16.840.1.101.3.4.2.2",
    digestInfoPrefix: hex("3041300d060960864801650304020205000430"),
    ckm: 0x0260,
    ckgMgf1: 0x0003,
  },
  "SHA-512": {
    name: "SHA-512",
    nodeName: "sha512",
    length: 64,
    oid: "2.16.840.1.101.3.4.2.3",
    digestInfoPrefix: hex("3051300d060960864801650304020305000440"),
    ckm: 0x0270,
    ckgMgf1: 0x0004,
  },
};

const KEYS: Readonly<Record<KeyAlgorithmName, KeyAlgorithm>> = {
  "RSA-2048": { name: "RSA-2048", kind: "RSA", modulusLength: 2048 },
  "RSA-3072": { name: "RSA-3072", kind: "RSA", modulusLength: 3072 },
  "RSA-4096": { name: "RSA-4096", kind: "RSA", modulusLength: 4096 },
  "P-256": {
    name: "P-256",
    kind: "EC",
    namedCurve: "P-256",
    ecParams: hex("06082a8648ce3d030107"),
    coordinateLength: 32,
  },
  "P-384": {
    name: "P-384",
    kind: "EC",
    namedCurve: "P-384",
    ecParams: hex("06052b81040022"),
    coordinateLength: 48,
  },
  "P-521": {
    name: "P-521",
    kind: "EC",
    namedCurve: "P-521",
    ecParams: hex("06052b81040023"),
    coordinateLength: 66,
  },
};

const RSA_OIDS: Readonly<Record<HashName, string>> = {
  "SHA-256": "1.2.840.113549.1.1.11",
  "SHA-384": "1.2.840.113549.1.1.12",
  "SHA-512": "1.2.840.113549.1.1.13",
};
const ECDSA_OIDS: Readonly<Record<HashName, string>> = {
  "SHA-256": "1.2.840.10045.4.3.2",
  "SHA-384": "1.2.840.10045.4.3.3",
  "SHA-512": "1.2.840.10045.4.3.4",
};
const RSASSA_PSS_OID = "1.2.840.113549.1.1.10";

export const HASH_NAMES = Object.keys(HASHES) as readonly HashName[];
export const KEY_ALGORITHM_NAMES = Object.keys(KEYS) as readonly KeyAlgorithmName[];

export function hashAlgorithm(name: HashName): HashAlgorithm {
  return HASHES[name];
}

export function keyAlgorithm(name: KeyAlgorithmName): KeyAlgorithm {
  return KEYS[name];
}

/**
 * The row for a key, a hash and, for RSA, a scheme.
 *
 * @param rsaScheme ignored for EC keys, which sign with ECDSA
 */
export function signatureAlgorithm(
  keyName: KeyAlgorithmName,
  hashName: HashName,
  rsaScheme: "PKCS1" | "PSS" = "PKCS1",
): SignatureAlgorithm {
  const key = KEYS[keyName];
  const hash = HASHES[hashName];
  if (key.kind === "EC") return ecdsa(key, hash);
  return rsaScheme === "PSS" ? rsaPss(key, hash) : rsaPkcs1(key, hash);
}

type RsaKey = Extract<KeyAlgorithm, { kind: "RSA" }>;
type EcKey = Extract<KeyAlgorithm, { kind: "EC" }>;

function rsaPkcs1(key: RsaKey, hash: HashAlgorithm): SignatureAlgorithm {
  const length = key.modulusLength / 8;
  return {
    scheme: "PKCS1",
    hash,
    key,
    oid: RSA_OIDS[hash.name],
    parameters: "null",
    keyAlgorithm: { name: "RSASSA-PKCS1-v1_5", hash: { name: hash.name } },
    signParams: { name: "RSASSA-PKCS1-v1_5" },
    mechanism: { mechanism: CKM_RSA_PKCS },
    mechanismInput: (digest) => Buffer.concat([hash.digestInfoPrefix, digest]),
    rawSignatureLength: length,
    maxSignatureLength: length,
    encodeSignature: (raw) => raw,
    verifyOptions: { padding: constants.RSA_PKCS1_PADDING },
  };
}

function rsaPss(key: RsaKey, hash: HashAlgorithm): SignatureAlgorithm {
  return {
    ...rsaPkcs1(key, hash),
    scheme: "PSS",
    oid: RSASSA_PSS_OID,
    parameters: "pss",
    keyAlgorithm: { name: "RSA-PSS", hash: { name: hash.name } },
    signParams: { name: "RSA-PSS", saltLength: hash.length },
    mechanism: {
      mechanism: CKM_RSA_PKCS_PSS,
      pss: { hashAlg: hash.ckm, mgf: hash.ckgMgf1, saltLen: hash.length },
    },
    mechanismInput: (digest) => digest,
    verifyOptions: { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: hash.length },
  };
}

function ecdsa(key: EcKey, hash: HashAlgorithm): SignatureAlgorithm {
  const integers = 2 * (2 + key.coordinateLength + (key.namedCurve === "P-521" ? 0 : 1));
  return {
    scheme: "ECDSA",
    hash,
    key,
    oid: ECDSA_OIDS[hash.name],
    parameters: "absent",
    keyAlgorithm: { name: "ECDSA", namedCurve: key.namedCurve },
    signParams: { name: "ECDSA", hash: { name: hash.name } },
    mechanism: { mechanism: CKM_ECDSA },
    mechanismInput: (digest) => digest,
    rawSignatureLength: 2 * key.coordinateLength,
    maxSignatureLength: (integers < 0x80 ? 2 : 3) + integers,
    encodeSignature: ecdsaSignatureToDer,
    verifyOptions: { dsaEncoding: "ieee-p1363" },
  };
}
