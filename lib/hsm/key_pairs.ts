import { createPublicKey, type JsonWebKey, type KeyObject } from "node:crypto";
import * as graphene from "graphene-pk11";
import pkcs11 from "pkcs11js";
import {
  KEY_ALGORITHM_NAMES,
  type KeyAlgorithm,
  keyAlgorithm,
  type SignatureAlgorithm,
} from "../algorithms.ts";
import { deferred } from "../deferred.ts";
import { messageOf, SignerError } from "../errors.ts";
import { tokenError } from "./return_codes.ts";
import { TokenKey } from "./token_key.ts";

/** A key pair on the token, as WebCrypto has it. */
export interface TokenKeyPair {
  readonly privateKey: TokenKey;
  readonly publicKey: TokenKey;
  /** What an operator should know of the key, such as that it may leave the token. */
  readonly warnings: readonly string[];
}

const MAX_LABELS = 20;
const PUBLIC_EXPONENT = Buffer.from([0x01, 0x00, 0x01]);

/**
 * Finds the one key pair with a label: one C_FindObjects for each half, and the attributes that CloudHSM
 * lets everybody read.
 *
 * @returns `undefined` when no private key has the label
 * @throws SignerError `ERR_KEY_AMBIGUOUS` when several have, `ERR_KEY_UNUSABLE` when the one that has
 *   cannot sign as the row says
 */
export function findKeyPair(
  session: graphene.Session,
  label: string,
  algorithm: SignatureAlgorithm,
): TokenKeyPair | undefined {
  try {
    const privateKeys = findAll(session, { class: graphene.ObjectClass.PRIVATE_KEY, label });
    const [privateKey] = privateKeys;
    if (privateKey === undefined) return undefined;
    if (privateKeys.length > 1) throw ambiguous(label, privateKeys);
    return readKeyPair(session, label, privateKey.handle, algorithm);
  } catch (error) {
    throw tokenError(`read the key pair "${label}"`, error);
  }
}

/** CKA_ID of each private key with a label, in hexadecimal digits: one C_FindObjects, and a read for each. */
export function findKeyIds(session: graphene.Session, label: string): readonly string[] {
  try {
    return findAll(session, { class: graphene.ObjectClass.PRIVATE_KEY, label }).map(idOf);
  } catch (error) {
    throw tokenError(`look for the key pair "${label}"`, error);
  }
}

/** Destroys both halves of the one pair with this label and CKA_ID; what is not there is no mistake. */
export function destroyKeyPair(session: graphene.Session, label: string, id: Buffer): void {
  try {
    for (const type of [graphene.ObjectClass.PRIVATE_KEY, graphene.ObjectClass.PUBLIC_KEY]) {
      for (const object of findAll(session, { class: type, label, id })) object.destroy();
    }
  } catch (error) {
    throw tokenError(`destroy the key pair "${label}" with CKA_ID ${id.toString("hex")}`, error);
  }
}

/** Labels of the private keys, at most `MAX_LABELS`: each costs requests to the cluster. */
export function findKeyLabels(session: graphene.Session): readonly string[] {
  try {
    const keys = findAll(session, { class: graphene.ObjectClass.PRIVATE_KEY });
    return keys.slice(0, MAX_LABELS).map((key) => attribute<string>(key, "label"));
  } catch (error) {
    throw tokenError("list the keys", error);
  }
}

/**
 * Generates a key pair with templates that CloudHSM accepts: the private half sensitive and not extractable,
 * CKA_ID final at generation since CloudHSM has no C_SetAttributeValue. The library's own `generateKey` sets
 * CKA_ID afterwards and reads attributes that CloudHSM refuses; either leaves an orphaned pair behind.
 *
 * @returns the handle of the private key
 */
export async function generateKeyPair(
  session: graphene.Session,
  label: string,
  id: Buffer,
  algorithm: SignatureAlgorithm,
): Promise<Buffer> {
  const common = { token: true, label, id };
  const { promise, resolve, reject } = deferred<graphene.IKeyPair>();
  session.generateKeyPair(
    algorithm.key.kind === "RSA" ? graphene.KeyGenMechanism.RSA : graphene.KeyGenMechanism.EC,
    { ...common, verify: true, ...domainAttributes(algorithm.key) },
    // What it is not for is said too: libraries differ in their defaults.
    {
      ...common,
      sign: true,
      decrypt: false,
      unwrap: false,
      derive: false,
      sensitive: true,
      extractable: false,
    },
    (error: Error | null, keys: graphene.IKeyPair | null) => (keys === null ? reject(error) : resolve(keys)),
  );
  const { privateKey } = await promise;
  return privateKey.handle;
}

function domainAttributes(key: KeyAlgorithm): graphene.ITemplate {
  return key.kind === "RSA"
    ? { modulusBits: key.modulusLength, publicExponent: PUBLIC_EXPONENT }
    : { paramsEC: Buffer.from(key.ecParams) };
}

/**
 * The pair that a private key is half of.
 *
 * @param session reads the objects now and whenever they are asked for something
 * @throws SignerError `ERR_KEY_UNUSABLE`
 */
export function readKeyPair(
  session: graphene.Session,
  label: string,
  handle: Buffer,
  algorithm: SignatureAlgorithm,
): TokenKeyPair {
  const privateObject = new graphene.SessionObject(handle, session, session.lib);
  const id = attribute<Buffer>(privateObject, "id");
  const publicObjects = findAll(session, { class: graphene.ObjectClass.PUBLIC_KEY, label, id });
  const [publicObject] = publicObjects;
  if (publicObject === undefined || publicObjects.length > 1) {
    throw unusable(
      label,
      `${publicObjects.length} public keys have its label and its CKA_ID ${id.toString("hex")}`,
    );
  }
  if (!attribute<boolean>(privateObject, "sign")) throw unusable(label, "its CKA_SIGN is false");
  const publicKeyObject = readPublicKey(label, publicObject, algorithm.key);
  return {
    privateKey: new TokenKey(privateObject.toType<graphene.PrivateKey>(), algorithm, publicKeyObject),
    publicKey: new TokenKey(publicObject.toType<graphene.PublicKey>(), algorithm, publicKeyObject),
    warnings: exposure(privateObject),
  };
}

function readPublicKey(label: string, object: graphene.SessionObject, expected: KeyAlgorithm): KeyObject {
  const found = describePublicKey(object);
  if (found.name !== expected.name) {
    throw unusable(label, `it is ${found.name}, and HSM_KEY_ALGORITHM says ${expected.name}`);
  }
  try {
    return createPublicKey({ key: found.jwk(), format: "jwk" });
  } catch (error) {
    throw unusable(label, `its public key cannot be read: ${messageOf(error)}`);
  }
}

/** The name of `HSM_KEY_ALGORITHM` for what is on the token, in these terms whatever it is, and its JWK (RFC 7518 §6). */
function describePublicKey(object: graphene.SessionObject): { name: string; jwk: () => JsonWebKey } {
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

function exposure(privateKey: graphene.SessionObject): string[] {
  return [
    ...(attribute<boolean>(privateKey, "extractable")
      ? ["the private key is extractable (CKA_EXTRACTABLE)"]
      : []),
    ...(attribute<boolean>(privateKey, "sensitive")
      ? []
      : ["the private key is not sensitive (CKA_SENSITIVE)"]),
  ];
}

function attribute<T>(object: graphene.SessionObject, name: string): T {
  // graphene types an attribute read by name as any; the callers name one whose type PKCS#11 fixes.
  return object.getAttribute(name) as T;
}

function idOf(key: graphene.SessionObject): string {
  return attribute<Buffer>(key, "id").toString("hex");
}

function findAll(session: graphene.Session, template: graphene.ITemplate): graphene.SessionObject[] {
  const found = session.find(template);
  return Array.from({ length: found.length }, (_, index) => found.items(index));
}

function ambiguous(label: string, keys: graphene.SessionObject[]): SignerError {
  const ids = keys.map(idOf).join(", ");
  return new SignerError(
    "ERR_KEY_AMBIGUOUS",
    `Cannot choose the key pair "${label}": ${keys.length} private keys have this label (CKA_ID ${ids})`,
  );
}

function unusable(label: string, state: string): SignerError {
  return new SignerError("ERR_KEY_UNUSABLE", `Cannot sign with the key pair "${label}": ${state}`);
}
