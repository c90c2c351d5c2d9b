import { createLocalJWKSet, importJWK, type JSONWebKeySet, type JWK } from "jose";
import { messageOf } from "../errors.ts";

/** Finds the key that a token names (`kid`), as jose asks for it. */
export type FindKey = ReturnType<typeof createLocalJWKSet>;

/** The keys of an issuer at one time (RFC 7517 §5). */
export interface KeySet {
  readonly find: FindKey;
  readonly size: number;
}

const MAX_KEYS = 100;
/** In bits (RFC 7518 §3.3). */
const MIN_MODULUS = 2048;
/** What an RSA key is tried with that does not say; its use depends on the token. */
const ANY_RSA = "RS256";

/**
 * Takes a key set apart. Keys that nobody can verify with (unknown kinds, encryption) may stand in it; those that
 * should be secret may not. An empty one is one too: its issuer has withdrawn all keys.
 *
 * @throws Error that says what is wrong, without a value
 */
export async function readKeySet(json: unknown): Promise<KeySet> {
  const keys = keysOf(json);
  if (keys.length > MAX_KEYS) throw new Error(`there are more than ${MAX_KEYS} keys`);
  if (keys.some((key) => "d" in key || "k" in key)) throw new Error("there is a secret key among the keys");
  const usable: JWK[] = [];
  let firstFault = "";
  for (const key of keys) {
    const fault = await faultOf(key);
    if (fault === undefined) usable.push(key);
    else firstFault ||= fault;
  }
  // One that has none says so; one that has none for us may be meant for others.
  if (usable.length === 0 && keys.length > 0) {
    throw new Error(`there is no key to verify with (${firstFault})`);
  }
  return { find: createLocalJWKSet({ keys: usable }), size: usable.length };
}

function keysOf(json: unknown): readonly JWK[] {
  const { keys }: Partial<JSONWebKeySet> = typeof json === "object" && json !== null ? json : {};
  const isList = Array.isArray(keys) && keys.every((key) => typeof key === "object" && key !== null);
  if (!isList) throw new Error('it is not a key set: { "keys": [ … ] }');
  return keys;
}

/** Why nothing can be verified with a key; `undefined` when it can. */
async function faultOf(key: JWK): Promise<string | undefined> {
  if (key.use !== undefined && key.use !== "sig") return "not for signatures";
  try {
    const { algorithm } = (await importJWK(key, key.alg ?? standardAlgorithm(key))) as CryptoKey;
    const bits = "modulusLength" in algorithm ? Number(algorithm.modulusLength) : MIN_MODULUS;
    return bits < MIN_MODULUS ? `an RSA key of ${bits} bits` : undefined;
  } catch (error) {
    return messageOf(error);
  }
}

function standardAlgorithm({ kty, crv }: JWK): string {
  if (kty === "RSA") return ANY_RSA;
  if (kty === "OKP") return "EdDSA";
  return crv === "P-521" ? "ES512" : crv === "P-384" ? "ES384" : "ES256";
}
