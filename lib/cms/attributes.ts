import { createHash } from "node:crypto";
import * as asn1js from "asn1js";
import { Attribute } from "pkijs";
import type { HashAlgorithm } from "../algorithms.ts";
import { digestAlgorithmIdentifier } from "./algorithm_identifiers.ts";

/** What is the same for every signature with one credential. */
export interface AttributeSubject {
  readonly hash: HashAlgorithm;
  /** The signer's certificate, DER. */
  readonly certificate: Uint8Array;
}

/** What differs from signature to signature. */
export interface AttributeEvent {
  /** Digest of the content, of the subject's hash. */
  readonly digest: Uint8Array;
  readonly time: Date;
}

/**
 * Makes one signed attribute: bound to a credential once, then called for each signature.
 *
 * @returns the Attribute (RFC 5652 §5.3), DER
 */
export type AttributeProvider = (subject: AttributeSubject) => (event: AttributeEvent) => Uint8Array;

/** The attributes of one kind of signature. */
export type Profile = readonly AttributeProvider[];

const ID_DATA = "1.2.840.113549.1.7.1";
const ID_CONTENT_TYPE = "1.2.840.113549.1.9.3";
export const ID_MESSAGE_DIGEST = "1.2.840.113549.1.9.4";
const ID_SIGNING_TIME = "1.2.840.113549.1.9.5";
const ID_SIGNING_CERTIFICATE_V2 = "1.2.840.113549.1.9.16.2.47";

/** contentType: id-data (RFC 5652 §11.1). */
export const contentType: AttributeProvider = () => {
  const der = attribute(ID_CONTENT_TYPE, new asn1js.ObjectIdentifier({ value: ID_DATA }));
  return () => der;
};

/** messageDigest: the digest of the content (RFC 5652 §11.2). */
export const messageDigest: AttributeProvider = ({ hash }) => {
  const template = attribute(
    ID_MESSAGE_DIGEST,
    new asn1js.OctetString({ valueHex: new ArrayBuffer(hash.length) }),
  );
  return ({ digest }) => {
    if (digest.length !== hash.length) {
      throw new RangeError(`Cannot sign a digest of ${digest.length} bytes with ${hash.name}`);
    }
    return withEnding(template, digest);
  };
};

/** signingTime: UTCTime through 2049, GeneralizedTime after, to the second (RFC 5652 §11.3). */
export const signingTime: AttributeProvider = () => {
  const epoch = new Date(0);
  const utcTime = attribute(ID_SIGNING_TIME, new asn1js.UTCTime({ valueDate: epoch }));
  const generalizedTime = attribute(ID_SIGNING_TIME, new asn1js.GeneralizedTime({ valueDate: epoch }));
  return ({ time }) => {
    const year = time.getUTCFullYear();
    return year < 1950 || year >= 2050
      ? withEnding(generalizedTime, Buffer.from(`${year}${digitsWithinYear(time)}`))
      : withEnding(utcTime, Buffer.from(`${twoDigits(year % 100)}${digitsWithinYear(time)}`));
  };
};

/**
 * signingCertificateV2: one ESSCertIDv2 with the hash of the signer's certificate (RFC 5035 §3). hashAlgorithm
 * is left out when it is SHA-256, its DEFAULT; issuerSerial is left out, since SignerInfo has it.
 */
export const signingCertificateV2: AttributeProvider = ({ hash, certificate }) => {
  const certHash = new asn1js.OctetString({
    valueHex: arrayBuffer(createHash(hash.nodeName).update(certificate).digest()),
  });
  const hashAlgorithm = asn1js.fromBER(arrayBuffer(digestAlgorithmIdentifier(hash))).result;
  const certId = new asn1js.Sequence({
    value: hash.name === "SHA-256" ? [certHash] : [hashAlgorithm, certHash],
  });
  const der = attribute(
    ID_SIGNING_CERTIFICATE_V2,
    new asn1js.Sequence({ value: [new asn1js.Sequence({ value: [certId] })] }),
  );
  return () => der;
};

/** `adbe.pkcs7.detached`: the CMS profile of PDF signatures (ISO 32000-1 §12.8.3.3). */
export const CMS_PROFILE: Profile = [contentType, signingTime, messageDigest, signingCertificateV2];

/** Month, day, hour, minute and second, in Universal Time. */
function digitsWithinYear(time: Date): string {
  const monthAndDay = twoDigits(time.getUTCMonth() + 1) + twoDigits(time.getUTCDate());
  const hourAndMinute = twoDigits(time.getUTCHours()) + twoDigits(time.getUTCMinutes());
  return `${monthAndDay}${hourAndMinute}${twoDigits(time.getUTCSeconds())}Z`;
}

function twoDigits(value: number): string {
  return value < 10 ? `0${value}` : `${value}`;
}

function attribute(type: string, value: asn1js.AsnType): Uint8Array {
  return new Uint8Array(new Attribute({ type, values: [value] }).toSchema().toBER(false));
}

/** A copy whose last bytes are these: the value of an attribute comes last, and its length is fixed. */
function withEnding(template: Uint8Array, ending: Uint8Array): Uint8Array {
  const der = new Uint8Array(template);
  der.set(ending, der.length - ending.length);
  return der;
}

function arrayBuffer(bytes: Uint8Array): ArrayBuffer {
  return new Uint8Array(bytes).buffer;
}
