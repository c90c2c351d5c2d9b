import { softHsmToken } from "../../dev/softhsm.ts";
import { type SignatureAlgorithm, signatureAlgorithm } from "../../lib/algorithms.ts";
import { Token, type TokenOptions } from "../../lib/hsm/token.ts";
import type { Log } from "../../lib/log.ts";
import { Secret } from "../../lib/secret.ts";
import { temporaryDirectory } from "./temporary.ts";

/** A fresh SoftHSM2 token for this process, which its environment names from now on. */
export interface TestToken {
  readonly modulePath: string;
  readonly label: string;
  readonly pin: string;
}

export function freshToken(): TestToken {
  const token = softHsmToken(temporaryDirectory(), "test");
  Object.assign(process.env, token.environment);
  return token;
}

/** Collects what is logged. */
export function recordingLog(): { log: Log; events: { level: string; event: string; fields: unknown }[] } {
  const events: { level: string; event: string; fields: unknown }[] = [];
  return { log: (level, event, fields) => void events.push({ level, event, fields }), events };
}

export function openTestToken(token: TestToken, options: Partial<TokenOptions> = {}): Token {
  return Token.open({
    modulePath: token.modulePath,
    label: token.label,
    pin: new Secret(token.pin),
    sessions: 4,
    log: recordingLog().log,
    ...options,
  });
}

/** Every way to sign that the configuration offers, by one row for each key and hash that belong together. */
export const ALL_ALGORITHMS: readonly SignatureAlgorithm[] = [
  signatureAlgorithm("RSA-2048", "SHA-256", "PKCS1"),
  signatureAlgorithm("RSA-2048", "SHA-256", "PSS"),
  signatureAlgorithm("RSA-3072", "SHA-384", "PKCS1"),
  signatureAlgorithm("RSA-3072", "SHA-384", "PSS"),
  signatureAlgorithm("RSA-4096", "SHA-512", "PKCS1"),
  signatureAlgorithm("RSA-4096", "SHA-512", "PSS"),
  signatureAlgorithm("P-256", "SHA-256"),
  signatureAlgorithm("P-384", "SHA-384"),
  signatureAlgorithm("P-521", "SHA-512"),
  signatureAlgorithm("P-521", "SHA-256"),
];
