import { createHash, verify } from "node:crypto";
import type * as graphene from "graphene-pk11";
import pkcs11 from "pkcs11js";
import type { Mechanism, SignatureAlgorithm } from "../algorithms.ts";
import { deferred } from "../deferred.ts";
import { SignerError } from "../errors.ts";
import type { TokenKey } from "./token_key.ts";

/** What the token takes of the bytes that are to be signed: a hash made here, or what stands for one. */
export function tokenInput(algorithm: SignatureAlgorithm, data: Uint8Array): Buffer {
  return Buffer.from(algorithm.mechanismInput(createHash(algorithm.hash.nodeName).update(data).digest()));
}

/**
 * One C_SignInit and one C_Sign (PKCS#11 v2.40 §5.11), and nothing else: on CloudHSM every further call is a
 * request to the cluster.
 *
 * @param session leased by the caller, and by nobody else until the promise settles
 * @param input what the mechanism takes; neither changed nor shared until the promise settles
 * @returns the signature as the token gives it: r‖s for ECDSA
 */
export async function signOnSession(
  session: graphene.Session,
  key: Buffer,
  algorithm: SignatureAlgorithm,
  input: Buffer,
): Promise<Buffer> {
  beginSignature(session, key, algorithm);
  return await endSignature(session, algorithm, input);
}

/** @throws SignerError `ERR_SIGNATURE_WRONG` when the signature is none of these bytes with this key */
export function requireValid(
  { publicKeyObject }: TokenKey,
  { hash, verifyOptions }: SignatureAlgorithm,
  data: Uint8Array,
  signature: Buffer,
): void {
  if (!verify(hash.nodeName, data, { key: publicKeyObject, ...verifyOptions }, signature)) {
    throw new SignerError("ERR_SIGNATURE_WRONG", "Cannot sign: the token's signature does not verify");
  }
}

/** C_SignInit, which blocks: on CloudHSM it may ask the cluster. */
export function beginSignature(
  session: graphene.Session,
  key: Buffer,
  { mechanism }: SignatureAlgorithm,
): void {
  session.lib.C_SignInit(session.handle, pkcs11Mechanism(mechanism), key);
}

/** The C_Sign that belongs to it, on a thread of libuv; see `signOnSession`. */
export function endSignature(
  session: graphene.Session,
  algorithm: SignatureAlgorithm,
  input: Buffer,
): Promise<Buffer> {
  const { promise, resolve, reject } = deferred<Buffer>();
  const output = Buffer.allocUnsafeSlow(algorithm.rawSignatureLength);
  session.lib.C_Sign(session.handle, input, output, (error: Error | null, signature: Buffer) => {
    // pkcs11js does not keep the input alive (pkcs11js#121): without this reference the garbage collector may
    // hand its memory to somebody else while C_Sign is queued, and the token signs those bytes with CKR_OK.
    void input;
    if (error) reject(error);
    else resolve(signature);
  });
  return promise;
}

function pkcs11Mechanism(mechanism: Mechanism): pkcs11.Mechanism {
  if (mechanism.pss === undefined) return { mechanism: mechanism.mechanism };
  return {
    mechanism: mechanism.mechanism,
    parameter: { type: pkcs11.CK_PARAMS_RSA_PSS, ...mechanism.pss },
  };
}
