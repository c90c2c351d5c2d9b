import { hexadecimal } from "./bytes.js";
import { at, isSame, oidOf, TAG, textOf, timeOf } from "./der.js";
import { describeKey, verifySignature } from "./public_key.js";

/**
 * What a person wants to know of a certificate: RFC 5280 §4.1.
 *
 * @import { Der } from "./der.js"
 *
 * @typedef {object} Certificate
 * @property {Der} der
 * @property {Der} keyInfo
 * @property {Der} issuerName
 * @property {Der} subjectName
 * @property {Uint8Array<ArrayBuffer>} serial
 * @property {string} subject
 * @property {string} issuer
 * @property {string} subjectCalled the part of it that people call it by
 * @property {string} issuerCalled
 * @property {string} serialNumber
 * @property {Date} notBefore
 * @property {Date} notAfter
 * @property {string} key
 */

const COMMON_NAME = "2.5.4.3";
/**
 * Attribute types, as people write them: RFC 4514 §3, and some more.
 *
 * @type {Readonly<Record<string, string>>}
 */
const ATTRIBUTES = {
  [COMMON_NAME]: "CN",
  "2.5.4.4": "surname",
  "2.5.4.5": "serial number",
  "2.5.4.6": "C",
  "2.5.4.7": "L",
  "2.5.4.8": "ST",
  "2.5.4.10": "O",
  "2.5.4.11": "OU",
  "2.5.4.12": "title",
  "2.5.4.42": "given name",
  "2.5.4.97": "organization identifier",
  "1.2.840.113549.1.9.1": "e-mail",
};

/**
 * @param {Der} der
 * @returns {Certificate}
 */
export function readCertificate(der) {
  const fields = at(der, 0).children.filter(({ tag }) => tag !== 0xa0);
  const [serial, , issuerName, validity, subjectName, keyInfo] = fields;
  if (!serial || !issuerName || !validity || !subjectName || !keyInfo)
    throw new Error("It has no certificate");
  return {
    der,
    keyInfo,
    issuerName,
    subjectName,
    serial: serial.contents,
    subject: nameOf(subjectName),
    issuer: nameOf(issuerName),
    subjectCalled: calledIn(subjectName),
    issuerCalled: calledIn(issuerName),
    serialNumber: hexadecimal(serial.contents).replace(/(..)(?=.)/g, "$1:"),
    notBefore: timeOf(at(validity, 0)),
    notAfter: timeOf(at(validity, 1)),
    key: describeKey(keyInfo),
  };
}

/**
 * Whether the key of one certificate made the signature under another.
 *
 * @param {Certificate} issuer
 * @param {Certificate} issued
 */
export async function hasIssued(issuer, issued) {
  if (!isSame(issuer.subjectName.bytes, issued.issuerName.bytes)) return false;
  const [body, identifier, signature] = [at(issued.der, 0), at(issued.der, 1), at(issued.der, 2)];
  if (signature.tag !== TAG.bitString) return false;
  return verifySignature({
    keyInfo: issuer.keyInfo,
    identifier,
    digest: "",
    signature: signature.contents.subarray(1),
    data: body.bytes,
  });
}

/** @param {Der} name in the order and with the escapes of RFC 4514 §2 */
function nameOf(name) {
  const parts = attributesOf(name).map(([type, value]) => {
    return `${ATTRIBUTES[type] ?? type}=${value.replace(/[\\",+;<>]/g, "\\$&")}`;
  });
  return parts.toReversed().join(", ");
}

/** @param {Der} name */
function calledIn(name) {
  return attributesOf(name).findLast(([type]) => type === COMMON_NAME)?.[1] ?? nameOf(name);
}

/**
 * @param {Der} name
 * @returns {(readonly [type: string, value: string])[]}
 */
function attributesOf(name) {
  return name.children.flatMap(({ children }) =>
    children.map((attribute) => /** @type {const} */ ([oidOf(at(attribute, 0)), textOf(at(attribute, 1))])),
  );
}
