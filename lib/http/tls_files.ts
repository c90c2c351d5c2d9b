import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { closeSync, fstatSync, openSync, readFileSync } from "node:fs";
import { createSecureContext, type SecureContextOptions } from "node:tls";
import { ConfigError } from "../config/settings.ts";
import type { TlsConfig } from "../config/tls.ts";
import { messageOf } from "../errors.ts";
import type { Log } from "../log.ts";

/** What a server speaks TLS with, read and proven. */
export interface TlsFiles {
  readonly context: SecureContextOptions;
  /** The authorities of clients, PEM; `undefined` where no client is asked for a certificate. */
  readonly clientCa: string | undefined;
  /** When the first certificate of each file ends: from then on no reload takes the file. */
  readonly ends: readonly { readonly setting: string; readonly notAfter: Date }[];
}

const BLOCK = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;
const READABLE_BY_OTHERS = 0o004;
const DAY_MS = 86_400_000;
/** From so many days before the end on. */
const EXPIRY_WARNING_DAYS = 14;

/**
 * Reads the files of a server that speaks TLS, and proves that they belong together, so that a mistake is found
 * while the former ones still serve.
 *
 * @throws ConfigError that lists every mistake
 */
export function readTlsFiles(config: TlsConfig, now: Date): TlsFiles {
  const mistakes: string[] = [];
  const attempt = <T>(setting: string, read: () => T): T | undefined => {
    try {
      return read();
    } catch (error) {
      mistakes.push(`${setting} cannot be used: ${messageOf(error)}.`);
      return undefined;
    }
  };
  const { certificateFile, keyFile, clientCaFile } = config;
  const chain = attempt("TLS_CERT_FILE", () => readChain(certificateFile, now));
  const key = attempt("TLS_KEY_FILE", () => readKey(keyFile));
  const clientCa = clientCaFile && attempt("TLS_CLIENT_CA_FILE", () => readChain(clientCaFile, now));
  const [leaf] = chain?.certificates ?? [];
  if (leaf !== undefined && key !== undefined && !leaf.checkPrivateKey(key.object)) {
    mistakes.push("TLS_KEY_FILE is not the key of the first certificate in TLS_CERT_FILE.");
  }
  if (chain === undefined || key === undefined || leaf === undefined || mistakes.length > 0) {
    throw new ConfigError(mistakes);
  }
  const context: SecureContextOptions = {
    cert: chain.pem,
    key: key.pem,
    minVersion: "TLSv1.2",
    ...(clientCa ? { ca: clientCa.pem } : {}),
  };
  if (attempt("TLS_CERT_FILE", () => createSecureContext(context)) === undefined)
    throw new ConfigError(mistakes);
  const ends = [
    { setting: "TLS_CERT_FILE", notAfter: firstEnd(chain) },
    ...(clientCa ? [{ setting: "TLS_CLIENT_CA_FILE", notAfter: firstEnd(clientCa) }] : []),
  ];
  return { context, clientCa: clientCa ? clientCa.pem : undefined, ends };
}

/** What an operator should hear at a start, and again each day. */
export function warnOfTlsExpiry({ ends }: TlsFiles, now: Date, log: Log): void {
  for (const { setting, notAfter } of ends) {
    const days = Math.floor((notAfter.getTime() - now.getTime()) / DAY_MS);
    if (days > EXPIRY_WARNING_DAYS) continue;
    const isOver = days < 0;
    log(isOver ? "error" : "warning", isOver ? "tls.certificate_expired" : "tls.certificate_expires", {
      setting,
      notAfter: notAfter.toISOString(),
      days,
    });
  }
}

interface Chain {
  readonly pem: string;
  readonly certificates: readonly X509Certificate[];
}

/** Certificates that are all valid now: one that is not would be found by whoever connects. */
function readChain(path: string, now: Date): Chain {
  const blocks = readFileSync(path, "utf8").match(BLOCK) ?? [];
  if (blocks.length === 0) throw new Error(`${path} holds no certificate (PEM)`);
  const certificates = blocks.map((block) => new X509Certificate(block));
  for (const { validFrom, validTo } of certificates) {
    if (now < new Date(validFrom)) throw new Error(`${path} holds a certificate that is not valid yet`);
    if (now > new Date(validTo)) throw new Error(`${path} holds a certificate that expired at ${validTo}`);
  }
  return { pem: `${blocks.join("\n")}\n`, certificates };
}

function firstEnd({ certificates }: Chain): Date {
  return new Date(Math.min(...certificates.map(({ validTo }) => Date.parse(validTo))));
}

function readKey(path: string): { readonly pem: Buffer; readonly object: KeyObject } {
  const file = openSync(path, "r");
  try {
    if ((fstatSync(file).mode & READABLE_BY_OTHERS) !== 0) {
      throw new Error(`everybody may read ${path}; take that away (chmod o-r) and make a new key`);
    }
    const pem = readFileSync(file);
    if (pem.includes("ENCRYPTED")) throw new Error(`the key in ${path} is encrypted`);
    return { pem, object: createPrivateKey(pem) };
  } finally {
    closeSync(file);
  }
}
