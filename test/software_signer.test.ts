import { createPublicKey } from "node:crypto";
import type { SignatureAlgorithm } from "../lib/algorithms.ts";
import { webCryptoSigner } from "../lib/web_crypto_signer.ts";
import { ALL_ALGORITHMS } from "./support/algorithms.ts";
import { signerContract } from "./support/signer_contract.ts";
import { softwareCrypto, softwareKeyPair } from "./support/software.ts";

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
  ALL_ALGORITHMS,
  onePairEach(async (algorithm) => {
    const keys = await softwareKeyPair(algorithm);
    const signer = webCryptoSigner(softwareCrypto, keys.privateKey, algorithm);
    const spki = await softwareCrypto.subtle.exportKey("spki", keys.publicKey);
    return { signer, publicKey: createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" }) };
  }),
);
