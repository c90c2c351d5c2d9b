import type { JsonWebKey } from "node:crypto";
import * as graphene from "graphene-pk11";
import pkcs11 from "pkcs11js";
import { KEY_ALGORITHM_NAMES, type KeyAlgorithm, keyAlgorithm } from "../algorithms.ts";

/** Reading key objects: one C_FindObjects or one C_GetAttributeValue each, for what CloudHSM lets everybody read. */

export function findAll(session: graphene.Session, template: graphene.ITemplate): graphene.SessionObject[] {
  const found = session.find(template);
  return Array.from({ length: found.length }, (_, index) => found.items(index));
}

export function attribute<T>(object: graphene.SessionObject, name: string): T {
  // graphene types an attribute read by name as any; the callers name one whose type PKCS#11 fixes.
  return object.getAttribute(name) as T;
}

/** CKA_ID in hexadecimal digits. */
export function idOf(key: graphene.SessionObject): string {
  return attribute<Buffer>(key, "id").toString("hex");
}

/** What an operator should know of a private key, such as that it may leave the token. */
export function exposure(privateKey: graphene.SessionObject): string[] {
  return [
    ...(attribute<boolean>(privateKey, "extractable")
      ? ["the private key is extractable (CKA_EXTRACTABLE)"]
      : []),
    ...(attribute<boolean>(privateKey, "sensitive")
      ? []
      : ["the private key is not sensitive (CKA_SENSITIVE)"]),
  ];
}

/** The name of `HSM_KEY_ALGORITHM` for what is on the token, in these terms whatever it is, and its JWK (RFC 7518 §6). */
export function describePublicKey(object: graphene.SessionObject): { name: string; jwk: () => JsonWebKey } {
  const keyType = attribute<number>(object, "keyType");
  if (keyType === graphene.KeyType.RSA) {
    const { modulus, publicExponent } = object.getAttribute({ modulus: null, publicExponent: null });
    const n = withoutLeadingZeros(modulus as Buffer);
    return {
      name: `RSA-${8 * n.length}`,
      jwk: () => ({
        kty: "RSA",
        n: n.toString("base64url"),
        e: withoutLeadingZeros(publicExponent as Buffer).toString("base64url"),
      }),
    };
  }
  if (keyType === graphene.KeyType.EC) {
    // By number: graphene has two names for CKA_EC_PARAMS, and answers under the one that was not asked for.
    const curve = curveOf(object.getAttribute(pkcs11.CKA_EC_PARAMS));
    if (curve === undefined) return { name: "EC on another curve", jwk: () => ({}) };
    return {
      name: curve.name,
      jwk: () => {
        const { x, y } = coordinates(object.getAttribute(pkcs11.CKA_EC_POINT), curve.coordinateLength);
        return { kty: "EC", crv: curve.namedCurve, x: x.toString("base64url"), y: y.toString("base64url") };
      },
    };
  }
  return { name: `of another type (CKA_KEY_TYPE 0x${keyType.toString(16)})`, jwk: () => ({}) };
}

type Curve = Extract<KeyAlgorithm, { kind: "EC" }>;

/** The row of a CKA_EC_PARAMS: the DER of the curve's OBJECT IDENTIFIER. */
function curveOf(ecParams: Buffer): Curve | undefined {
  return KEY_ALGORITHM_NAMES.map(keyAlgorithm).find(
    (key): key is Curve => key.kind === "EC" && ecParams.equals(key.ecParams),
  );
}

/**
 * x and y from CKA_EC_POINT: a DER OCTET STRING around 04‖x‖y (PKCS#11 v2.40 §2.3.3), or, from libraries
 * that read an older text, 04‖x‖y itself. Both begin with 0x04; their lengths differ.
 */
function coordinates(value: Buffer, length: number): { x: Buffer; y: Buffer } {
  const point = value.subarray(Math.max(value.length - (1 + 2 * length), 0));
  if (point.length !== 1 + 2 * length || point[0] !== 0x04) {
    throw new RangeError("CKA_EC_POINT is not an uncompressed point of the curve");
  }
  return { x: point.subarray(1, 1 + length), y: point.subarray(1 + length) };
}

/** Big integers may come with leading zeros; a JWK has none. */
function withoutLeadingZeros(value: Buffer): Buffer {
  const start = value.findIndex((byte) => byte !== 0);
  return value.subarray(Math.max(start, 0));
}
