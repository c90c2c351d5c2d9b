import { createPublicKey } from "node:crypto";
import { after } from "node:test";
import type { SignatureAlgorithm } from "../../lib/algorithms.ts";
import { TokenCrypto } from "../../lib/hsm/token_crypto.ts";
import { webCryptoSigner } from "../../lib/web_crypto_signer.ts";
import { type SignerUnderTest, signerContract } from "../support/signer_contract.ts";
import { softwareCrypto, softwareKeyPair } from "../support/software.ts";
import { freshToken, openTestToken } from "../support/token.ts";

const token = openTestToken(freshToken());
after(() => token.close(1000));

async function publicKeyOf(crypto: Crypto, keys: CryptoKeyPair): Promise<SignerUnderTest["publicKey"]> {
  const spki = await crypto.subtle.exportKey("spki", keys.publicKey);
  return createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
}

/** RSA keys take a while to make: one of each size serves all its algorithms. */
function onePairEach<T>(make: (algorithm: SignatureAlgorithm) => Promise<T>): typeof make {
  const pairs = new Map<string, Promise<T>>();
  return (algorithm) => {
    const key = `${algorithm.key.name} ${algorithm.scheme} ${algorithm.hash.name}`;
    const pair = pairs.get(key) ?? make(algorithm);
    pairs.set(key, pair);
    return pair;
  };
}

signerContract(
  "software",
  onePairEach(async (algorithm) => {
    const keys = await softwareKeyPair(algorithm);
    const signer = webCryptoSigner(softwareCrypto, keys.privateKey, algorithm);
    return { signer, publicKey: await publicKeyOf(softwareCrypto, keys) };
  }),
);

signerContract(
  "token",
  onePairEach(async (algorithm) => {
    const label = algorithm.key.name;
    const keys = token.findKeyPair(label, algorithm) ?? (await token.generateKeyPair(label, algorithm));
    const crypto = new TokenCrypto(token);
    const signer = webCryptoSigner(crypto, keys.privateKey, algorithm);
    return { signer, publicKey: await publicKeyOf(crypto, keys) };
  }),
);
