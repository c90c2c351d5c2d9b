import { execFileSync } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ChainFile } from "../../lib/credential/chain_file.ts";
import * as x509 from "../../lib/credential/x509.ts";
import { softwareCrypto } from "./software.ts";
import { temporaryDirectory } from "./temporary.ts";

/** The time of the tests' clock; the validity of every certificate is counted from here. */
export const PKI_NOW: Date = new Date("2033-05-18T03:33:20Z");

const DAY_MS = 86_400_000;
const scratch = temporaryDirectory();

export function daysFromNow(days: number): Date {
  return new Date(PKI_NOW.getTime() + days * DAY_MS);
}

export type TestKeyType = "RSA-1024" | "RSA-2048" | "P-256" | "P-384" | "P-521" | "Ed25519";

/** A certificate and the keys that it is for. */
export interface TestCertificate {
  readonly der: Uint8Array;
  readonly subject: string;
  readonly keys: CryptoKeyPair;
}

export interface TestCertificateOptions {
  readonly subject: string;
  /** Whose name stands under it; its own when there is none. */
  readonly issuer?: TestCertificate;
  /** The key that signs, when it shall not be the issuer's. */
  readonly signedWith?: CryptoKeyPair;
  /** The keys it is for; fresh ones of `keyType` when there are none. */
  readonly keys?: CryptoKeyPair;
  readonly keyType?: TestKeyType;
  /** Of the signature. */
  readonly hash?: "SHA-1" | "SHA-256" | "SHA-384" | "SHA-512";
  /** From and until, in days from `PKI_NOW`. */
  readonly days?: readonly [from: number, until: number];
  readonly ca?: boolean;
  readonly pathLength?: number;
  /** `"none"` leaves the extension out. */
  readonly keyUsage?: number | "none";
  readonly extendedKeyUsage?: readonly string[];
  readonly extensions?: readonly x509.Extension[];
}

const { keyCertSign, cRLSign, digitalSignature, nonRepudiation } = x509.KeyUsageFlags;

export const CA_USAGE: number = keyCertSign | cRLSign;
export const SIGNING_USAGE: number = digitalSignature | nonRepudiation;

type Overrides = Partial<TestCertificateOptions>;

export function rootCa(overrides: Overrides = {}): Promise<TestCertificate> {
  return certificate({ subject: "CN=Test Root", ca: true, keyUsage: CA_USAGE, ...overrides });
}

export function intermediateCa(issuer: TestCertificate, overrides: Overrides = {}): Promise<TestCertificate> {
  return certificate({ subject: "CN=Test CA", issuer, ca: true, keyUsage: CA_USAGE, ...overrides });
}

export function leafOf(issuer: TestCertificate, overrides: Overrides = {}): Promise<TestCertificate> {
  return certificate({ subject: "CN=Test Leaf", issuer, keyUsage: SIGNING_USAGE, ...overrides });
}

export function selfSignedLeaf(overrides: Overrides = {}): Promise<TestCertificate> {
  return certificate({ subject: "CN=Test Leaf", keyUsage: SIGNING_USAGE, ...overrides });
}

/** Any certificate, its mistakes included. */
export async function certificate(options: TestCertificateOptions): Promise<TestCertificate> {
  const { subject, issuer, hash = "SHA-256", days = [-30, 365] } = options;
  const keys = options.keys ?? (await testKeys(options.keyType ?? "P-256"));
  const signingKeys = options.signedWith ?? issuer?.keys ?? keys;
  const generated = await x509.X509CertificateGenerator.create(
    {
      subject,
      issuer: issuer?.subject ?? subject,
      notBefore: daysFromNow(days[0]),
      notAfter: daysFromNow(days[1]),
      publicKey: keys.publicKey,
      signingKey: await signingWith(hash, signingKeys.privateKey),
      signingAlgorithm: { name: signingKeys.privateKey.algorithm.name, hash },
      extensions: await extensionsOf(options, keys, signingKeys),
    },
    softwareCrypto,
  );
  return { der: new Uint8Array(generated.rawData), subject, keys };
}

export async function testKeys(type: TestKeyType): Promise<CryptoKeyPair> {
  return (await softwareCrypto.subtle.generateKey(keyParams(type), true, [
    "sign",
    "verify",
  ])) as CryptoKeyPair;
}

function keyParams(type: TestKeyType): RsaHashedKeyGenParams | EcKeyGenParams | Algorithm {
  if (type === "Ed25519") return { name: "Ed25519" };
  if (type.startsWith("P-")) return { name: "ECDSA", namedCurve: type };
  return {
    name: "RSASSA-PKCS1-v1_5",
    hash: "SHA-256",
    modulusLength: Number(type.slice("RSA-".length)),
    publicExponent: new Uint8Array([1, 0, 1]),
  };
}

/** The same key with another hash: WebCrypto ties an RSA key to one. */
async function signingWith(hash: string, key: CryptoKey): Promise<CryptoKey> {
  if (!key.algorithm.name.startsWith("RSA")) return key;
  const pkcs8 = await softwareCrypto.subtle.exportKey("pkcs8", key);
  return softwareCrypto.subtle.importKey("pkcs8", pkcs8, { name: key.algorithm.name, hash }, true, ["sign"]);
}

async function extensionsOf(
  { ca = false, pathLength, keyUsage = "none", extendedKeyUsage, extensions = [] }: TestCertificateOptions,
  { publicKey }: CryptoKeyPair,
  issuer: CryptoKeyPair,
): Promise<x509.Extension[]> {
  return [
    new x509.BasicConstraintsExtension(ca, pathLength, true),
    ...(keyUsage === "none" ? [] : [new x509.KeyUsagesExtension(keyUsage, true)]),
    ...(extendedKeyUsage ? [new x509.ExtendedKeyUsageExtension([...extendedKeyUsage])] : []),
    await x509.SubjectKeyIdentifierExtension.create(publicKey, false, softwareCrypto),
    await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey, false, softwareCrypto),
    ...extensions,
  ];
}

export function pemOf(...certificates: readonly TestCertificate[]): string {
  return ChainFile.toPem(certificates.map(({ der }) => der));
}

/**
 * What `openssl verify` says of a chain at the time of the tests' clock.
 *
 * @param root ends the chain; trusted
 * @returns its text; throws when the chain does not verify
 */
export function opensslVerify(
  leaf: TestCertificate,
  untrusted: readonly TestCertificate[],
  root: TestCertificate,
): string {
  const directory = mkdtempSync(join(scratch, "verify-"));
  const file = (name: string, ...certificates: readonly TestCertificate[]): string => {
    writeFileSync(join(directory, name), pemOf(...certificates));
    return join(directory, name);
  };
  const time = String(PKI_NOW.getTime() / 1000);
  const chain = untrusted.length === 0 ? [] : ["-untrusted", file("untrusted.pem", ...untrusted)];
  const trusted = ["-no-CApath", "-no-CAstore", "-CAfile", file("root.pem", root)];
  return execFileSync(
    "openssl",
    ["verify", "-x509_strict", "-attime", time, ...trusted, ...chain, file("leaf.pem", leaf)],
    { encoding: "utf8" },
  );
}
