import { execFileSync } from "node:child_process";
import { createPrivateKey, createPublicKey, webcrypto } from "node:crypto";
import type { SignatureAlgorithm } from "../../lib/algorithms.ts";
import { proveChain } from "../../lib/credential/chain.ts";
import { type Credential, proveCredential, type StoredKeyPair } from "../../lib/credential/credential.ts";
import type { KeyStore } from "../../lib/credential/open_credential.ts";
import { createSelfSigned } from "../../lib/credential/self_signed.ts";
import type { Signer } from "../../lib/signer.ts";
import { webCryptoSigner } from "../../lib/web_crypto_signer.ts";

type KeyImportAlgorithm = SignatureAlgorithm["keyAlgorithm"];

export const softwareCrypto = webcrypto as Crypto;

/** A key pair of the platform's WebCrypto, as the row describes it. */
export async function softwareKeyPair(algorithm: SignatureAlgorithm): Promise<CryptoKeyPair> {
  const { key, keyAlgorithm } = algorithm;
  if (key.kind === "RSA") return rsaKeyPair(key.modulusLength, keyAlgorithm);
  return (await softwareCrypto.subtle.generateKey(keyAlgorithm, false, ["sign", "verify"])) as CryptoKeyPair;
}

/** Made by OpenSSL: Deno takes ten seconds for one of 4096 bits. */
async function rsaKeyPair(bits: number, algorithm: KeyImportAlgorithm): Promise<CryptoKeyPair> {
  const args = ["genpkey", "-algorithm", "RSA", "-pkeyopt", `rsa_keygen_bits:${bits}`];
  const privateKey = createPrivateKey(execFileSync("openssl", args, { stdio: ["ignore", "pipe", "ignore"] }));
  const pkcs8 = privateKey.export({ type: "pkcs8", format: "der" });
  const spki = createPublicKey(privateKey).export({ type: "spki", format: "der" });
  const { subtle } = softwareCrypto;
  return {
    privateKey: await subtle.importKey("pkcs8", new Uint8Array(pkcs8), algorithm, false, ["sign"]),
    publicKey: await subtle.importKey("spki", new Uint8Array(spki), algorithm, true, ["verify"]),
  };
}

/** A key store that lives in memory: the double of a token. */
export class SoftwareKeyStore implements KeyStore {
  readonly pairs: Map<string, StoredKeyPair> = new Map();
  generated = 0;
  /** Pairs that were found and are in use. */
  readonly inUse: Set<StoredKeyPair> = new Set();

  keyLabels(): string[] {
    return [...this.pairs.keys()];
  }

  findKeyPair(label: string): StoredKeyPair | undefined {
    const pair = this.pairs.get(label);
    if (pair !== undefined) this.inUse.add(pair);
    return pair;
  }

  signer({ privateKey }: StoredKeyPair, algorithm: SignatureAlgorithm): Signer {
    return webCryptoSigner(softwareCrypto, privateKey, algorithm);
  }

  forget(pair: StoredKeyPair): void {
    this.inUse.delete(pair);
  }

  async provisionKeyPair(label: string, algorithm: SignatureAlgorithm): Promise<StoredKeyPair> {
    const pair = { ...(await softwareKeyPair(algorithm)), warnings: [] };
    this.pairs.set(label, pair);
    this.generated += 1;
    this.inUse.add(pair);
    return pair;
  }
}

/** A proven credential with a software key and a self-signed certificate, valid around `now`. */
export async function softwareCredential(
  algorithm: SignatureAlgorithm,
  now: Date = new Date(),
): Promise<Credential> {
  const keys = await softwareKeyPair(algorithm);
  const der = await createSelfSigned({
    crypto: softwareCrypto,
    keys,
    algorithm,
    subject: "CN=Software signer, O=Tests",
    days: 30,
    now,
  });
  const signer = webCryptoSigner(softwareCrypto, keys.privateKey, algorithm);
  return proveCredential("software", signer, await proveChain([der], now), { ...keys, warnings: [] });
}
