import type * as graphene from "graphene-pk11";
import pkcs11 from "pkcs11js";
import type { Mechanism, SignatureAlgorithm } from "../algorithms.ts";
import { deferred } from "../deferred.ts";

/**
 * One C_SignInit and one C_Sign (PKCS#11 v2.40 §5.11), and nothing else: on CloudHSM every further call is a
 * request to the cluster.
 *
 * @param session leased by the caller, and by nobody else until the promise settles
 * @param input what the mechanism takes; neither changed nor shared until the promise settles
 * @returns the signature as the token gives it: r‖s for ECDSA
 */
export function signOnSession(
  session: graphene.Session,
  key: Buffer,
  algorithm: SignatureAlgorithm,
  input: Buffer,
): Promise<Buffer> {
  const { promise, resolve, reject } = deferred<Buffer>();
  const output = Buffer.allocUnsafeSlow(algorithm.rawSignatureLength);
  session.lib.C_SignInit(session.handle, pkcs11Mechanism(algorithm.mechanism), key);
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
