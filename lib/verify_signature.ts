import { type KeyObject, type VerifyKeyObjectInput, verify, webcrypto } from "node:crypto";
import type { SignatureAlgorithm } from "./algorithms.ts";
import { deferred } from "./deferred.ts";
import { ecdsaSignatureFromDer } from "./ecdsa_signature.ts";
import { lacks } from "./runtime.ts";

/** An ECDSA signature as the token and WebCrypto make it, or as X.509 and CMS carry it; RSA has one form. */
export type SignatureForm = "raw" | "der";

/**
 * Verifies a signature in software. What takes long is done on another thread: for ECDSA that costs a fifth more of
 * the machine, and a third less of the one JavaScript thread; RSA is verified sooner than it is handed over.
 *
 * @throws Error when the key is of another kind than the algorithm, or the result is `false`
 */
export async function verifySignature(
  algorithm: SignatureAlgorithm,
  publicKey: KeyObject,
  data: Uint8Array,
  signature: Uint8Array,
  form: SignatureForm,
): Promise<boolean> {
  const { hash, key, verifyOptions } = algorithm;
  if (key.kind === "RSA") return verify(hash.nodeName, data, { key: publicKey, ...verifyOptions }, signature);
  if (lacks("ECDSA over short digests")) {
    const raw = form === "raw" ? signature : ecdsaSignatureFromDer(signature, key.coordinateLength);
    return raw !== undefined && (await verifyWithWebCrypto(algorithm, publicKey, data, raw));
  }
  const dsaEncoding = form === "raw" ? "ieee-p1363" : "der";
  return await verifyOnThread(hash.nodeName, data, { key: publicKey, dsaEncoding }, signature);
}

function verifyOnThread(
  hash: string,
  data: Uint8Array,
  options: VerifyKeyObjectInput,
  signature: Uint8Array,
): Promise<boolean> {
  const { promise, resolve, reject } = deferred<boolean>();
  verify(hash, data, options, signature, (error, isValid) => {
    if (error) reject(error);
    else resolve(isValid);
  });
  return promise;
}

async function verifyWithWebCrypto(
  { keyAlgorithm, signParams }: SignatureAlgorithm,
  publicKey: KeyObject,
  data: Uint8Array,
  raw: Uint8Array,
): Promise<boolean> {
  const { subtle } = webcrypto;
  const spki = publicKey.export({ type: "spki", format: "der" });
  const key = await subtle.importKey("spki", spki, keyAlgorithm, false, ["verify"]);
  return subtle.verify(signParams, key, raw, data);
}
