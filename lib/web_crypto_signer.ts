import type { SignatureAlgorithm } from "./algorithms.ts";
import type { Signer } from "./signer.ts";

/**
 * A signer over any WebCrypto: the token's (`lib/hsm/token_crypto.ts`), or the platform's with a software
 * key, as the tests use it.
 *
 * @param privateKey a CryptoKey of this `crypto` that fits `algorithm` and may sign
 */
export function webCryptoSigner(
  crypto: Pick<Crypto, "subtle">,
  privateKey: CryptoKey,
  algorithm: SignatureAlgorithm,
): Signer {
  return {
    algorithm,
    async sign(data) {
      const raw = await crypto.subtle.sign(algorithm.signParams, privateKey, data as Uint8Array<ArrayBuffer>);
      return algorithm.encodeSignature(new Uint8Array(raw));
    },
  };
}
