import { createPublicKey, type KeyObject } from "node:crypto";
import * as graphene from "graphene-pk11";
import type { KeyAlgorithm, SignatureAlgorithm } from "../algorithms.ts";
import { deferred } from "../deferred.ts";
import { messageOf, SignerError } from "../errors.ts";
import { attribute, describePublicKey, exposure, findAll, idOf } from "./key_objects.ts";
import { tokenError } from "./return_codes.ts";
import { TokenKey } from "./token_key.ts";

/** A key pair on the token, as WebCrypto has it. */
export interface TokenKeyPair {
  readonly privateKey: TokenKey;
  readonly publicKey: TokenKey;
  /** What an operator should know of the key, such as that it may leave the token. */
  readonly warnings: readonly string[];
}

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
