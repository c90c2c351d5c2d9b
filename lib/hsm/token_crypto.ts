import { webcrypto } from "node:crypto";
import { HASH_NAMES, type HashName, type SignatureAlgorithm, signatureAlgorithm } from "../algorithms.ts";
import type { Token } from "./token.ts";
import { TokenKey } from "./token_key.ts";

/**
 * The token as a WebCrypto `Crypto`: `@peculiar/x509`, or anything else that takes one, uses it as it is.
 *
 * `subtle.sign` with a private key of the token signs there, from any number of callers at once. Everything
 * else runs in software, in the platform's WebCrypto: digests, verification, the token's public keys, and
 * every key that is not the token's.
 */
export class TokenCrypto implements Crypto {
  readonly subtle: SubtleCrypto;
  readonly #token: Token;

  constructor(token: Token) {
    this.#token = token;
    this.subtle = tokenSubtle(token);
  }

  getRandomValues<T extends ArrayBufferView>(array: T): T {
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    bytes.set(this.#token.randomBytes(bytes.length));
    return array;
  }

  randomUUID(): ReturnType<Crypto["randomUUID"]> {
    return webcrypto.randomUUID();
  }
}

function tokenSubtle(token: Token): SubtleCrypto {
  const software = webcrypto.subtle as SubtleCrypto;

  const sign: SubtleCrypto["sign"] = async (algorithm, key, data) => {
    if (!(key instanceof TokenKey)) return software.sign(algorithm, key, data);
    const row = rowFor(algorithm, key, "private");
    const signature = await token.sign(key, row, bytesOf(data));
    return arrayBufferOf(signature);
  };

  const verify: SubtleCrypto["verify"] = async (algorithm, key, signature, data) => {
    if (!(key instanceof TokenKey)) return software.verify(algorithm, key, signature, data);
    rowFor(algorithm, key, "public");
    return software.verify(algorithm, await softwareKey(key), signature, data);
  };

  const exportKey = async (format: KeyFormat, key: CryptoKey): Promise<ArrayBuffer | JsonWebKey> => {
    if (!(key instanceof TokenKey)) return software.exportKey(format, key);
    if (key.type !== "public") throw refusal("InvalidAccessError", "a private key does not leave the token");
    return software.exportKey(format, await softwareKey(key));
  };

  const softwareKey = (key: TokenKey): Promise<CryptoKey> => {
    const spki = key.publicKeyObject.export({ type: "spki", format: "der" });
    return software.importKey("spki", arrayBufferOf(spki), key.signatureAlgorithm.keyAlgorithm, true, [
      "verify",
    ]);
  };

  const handler: ProxyHandler<SubtleCrypto> = {
    get(target, name) {
      if (Object.hasOwn(own, name)) return own[name as keyof typeof own];
      const member: unknown = Reflect.get(target, name, target);
      return typeof member === "function" ? member.bind(target) : member;
    },
  };
  const own = { sign, verify, exportKey: exportKey as SubtleCrypto["exportKey"] };
  return new Proxy(software, handler);
}

/** The row that `algorithm` means for this key, or the DOMException that WebCrypto prescribes. */
function rowFor(algorithm: AlgorithmIdentifier, key: TokenKey, type: KeyType): SignatureAlgorithm {
  const params: Record<string, unknown> =
    typeof algorithm === "string" ? { name: algorithm } : { ...algorithm };
  const row = key.signatureAlgorithm;
  if (key.type !== type) throw refusal("InvalidAccessError", `the key is a ${key.type} key`);
  if (String(params["name"]).toUpperCase() !== key.algorithm.name.toUpperCase()) {
    throw refusal("InvalidAccessError", `the key is for ${key.algorithm.name}`);
  }
  if (row.scheme === "PSS" && params["saltLength"] !== row.hash.length) {
    throw refusal("NotSupportedError", `saltLength must be ${row.hash.length}, the length of the hash`);
  }
  return row.scheme === "ECDSA" ? signatureAlgorithm(row.key.name, hashName(params["hash"])) : row;
}

function hashName(hash: unknown): HashName {
  const name = typeof hash === "object" && hash !== null && "name" in hash ? hash.name : hash;
  const known = HASH_NAMES.find((candidate) => candidate === String(name).toUpperCase());
  if (known === undefined)
    throw refusal("NotSupportedError", `the hash must be one of ${HASH_NAMES.join(", ")}`);
  return known;
}

function refusal(name: "InvalidAccessError" | "NotSupportedError", state: string): DOMException {
  return new DOMException(`Cannot use the key of the token: ${state}`, name);
}

function bytesOf(data: BufferSource): Uint8Array {
  return ArrayBuffer.isView(data)
    ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    : new Uint8Array(data);
}

function arrayBufferOf(bytes: Uint8Array): ArrayBuffer {
  return new Uint8Array(bytes).buffer;
}
