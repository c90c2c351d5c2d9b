import type { KeyObject } from "node:crypto";
import type * as graphene from "graphene-pk11";
import { CryptoKey as Pkcs11CryptoKey } from "node-webcrypto-p11";
import type { SignatureAlgorithm } from "../algorithms.ts";

/**
 * One half of a key pair on the token, as a CryptoKey of node-webcrypto-p11.
 *
 * The base class asks the token for CKA_ALWAYS_AUTHENTICATE, CKA_DECRYPT and more to fill in `usages`;
 * CloudHSM answers CKR_ATTRIBUTE_TYPE_INVALID. These keys sign and verify, by construction.
 */
export class TokenKey extends Pkcs11CryptoKey {
  readonly signatureAlgorithm: SignatureAlgorithm;
  /** The public half in software: what signatures are verified with, and what `exportKey` gives. */
  readonly publicKeyObject: KeyObject;

  constructor(object: graphene.Key, signatureAlgorithm: SignatureAlgorithm, publicKeyObject: KeyObject) {
    super(object, signatureAlgorithm.keyAlgorithm);
    this.signatureAlgorithm = signatureAlgorithm;
    this.publicKeyObject = publicKeyObject;
    Object.assign(this.algorithm, algorithmDetails(publicKeyObject));
  }

  protected override initPrivateKey(key: graphene.PrivateKey): void {
    this.p11Object = key;
    this.type = "private";
    this.extractable = false;
    this.usages = ["sign"];
  }

  protected override initPublicKey(key: graphene.PublicKey): void {
    this.p11Object = key;
    this.type = "public";
    this.extractable = true;
    this.usages = ["verify"];
  }
}

/** RsaKeyAlgorithm has the modulus length and the public exponent besides (WebCrypto §20.4). */
function algorithmDetails(publicKey: KeyObject): object {
  const { modulusLength, publicExponent } = publicKey.asymmetricKeyDetails ?? {};
  if (modulusLength === undefined || publicExponent === undefined) return {};
  const digits = publicExponent.toString(16);
  return {
    modulusLength,
    publicExponent: new Uint8Array(
      Buffer.from(digits.padStart(digits.length + (digits.length % 2), "0"), "hex"),
    ),
  };
}
