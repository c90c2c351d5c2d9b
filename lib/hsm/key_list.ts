import * as graphene from "graphene-pk11";
import { messageOf } from "../errors.ts";
import { attribute, describePublicKey, exposure, findAll, idOf } from "./key_objects.ts";
import { tokenError } from "./return_codes.ts";

/** A private key on the token, whoever uses it, for a person. */
export interface ListedKey {
  readonly label: string;
  /** CKA_ID in hexadecimal digits. */
  readonly id: string;
  /** Such as `RSA-2048`; why it cannot be told, where there is no public key with its label and CKA_ID. */
  readonly algorithm: string;
  readonly canSign: boolean;
  readonly warnings: readonly string[];
}

const MAX_LABELS = 20;

/** Labels of the private keys, at most `MAX_LABELS`: each costs requests to the cluster. */
export function findKeyLabels(session: graphene.Session): readonly string[] {
  try {
    const keys = findAll(session, { class: graphene.ObjectClass.PRIVATE_KEY });
    return keys.slice(0, MAX_LABELS).map((key) => attribute<string>(key, "label"));
  } catch (error) {
    throw tokenError("list the keys", error);
  }
}

/** All private keys, by label: some eight requests to the cluster for each. */
export function listKeys(session: graphene.Session): readonly ListedKey[] {
  try {
    const keys = findAll(session, { class: graphene.ObjectClass.PRIVATE_KEY });
    return keys.map((key) => describeKey(session, key)).toSorted((a, b) => (a.label < b.label ? -1 : 1));
  } catch (error) {
    throw tokenError("list the keys", error);
  }
}

function describeKey(session: graphene.Session, key: graphene.SessionObject): ListedKey {
  const label = attribute<string>(key, "label");
  const id = attribute<Buffer>(key, "id");
  const publicKeys = findAll(session, { class: graphene.ObjectClass.PUBLIC_KEY, label, id });
  const [publicKey] = publicKeys;
  return {
    label,
    id: idOf(key),
    algorithm:
      publicKey === undefined || publicKeys.length > 1
        ? `unknown: ${publicKeys.length} public keys have its label and CKA_ID`
        : algorithmOf(publicKey),
    canSign: attribute<boolean>(key, "sign"),
    warnings: exposure(key),
  };
}

function algorithmOf(publicKey: graphene.SessionObject): string {
  try {
    return describePublicKey(publicKey).name;
  } catch (error) {
    return `unknown: ${messageOf(error)}`;
  }
}
