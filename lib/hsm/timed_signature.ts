import type * as graphene from "graphene-pk11";
import pkcs11 from "pkcs11js";
import type { Mechanism, SignatureAlgorithm } from "../algorithms.ts";

/** C_SignInit and C_Sign one by one, by way of pkcs11js, which blocks: to take the time of each, and for nothing else. */

/** On CloudHSM it may ask the cluster. */
export function beginSignature(
  session: graphene.Session,
  key: Buffer,
  { mechanism }: SignatureAlgorithm,
): void {
  session.lib.C_SignInit(session.handle, pkcs11Mechanism(mechanism), key);
}

/** The C_Sign that belongs to it. */
export function endSignature(
  session: graphene.Session,
  { rawSignatureLength }: SignatureAlgorithm,
  input: Buffer,
): void {
  session.lib.C_Sign(session.handle, input, Buffer.alloc(rawSignatureLength));
}

function pkcs11Mechanism(mechanism: Mechanism): pkcs11.Mechanism {
  if (mechanism.pss === undefined) return { mechanism: mechanism.mechanism };
  return {
    mechanism: mechanism.mechanism,
    parameter: { type: pkcs11.CK_PARAMS_RSA_PSS, ...mechanism.pss },
  };
}
