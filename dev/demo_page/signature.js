import { sha256 } from "./bytes.js";
import { hasIssued, readCertificate } from "./certificate.js";
import { at, isSame, oidOf, readDer, TAG, timeOf } from "./der.js";
import { describeScheme, hashOf, verifySignature } from "./public_key.js";

/**
 * What signature.d.ts says.
 *
 * @import { Certificate } from "./certificate.js"
 * @import { Der } from "./der.js"
 * @import { Check, SignatureReport } from "./signature.d.ts"
 *
 * @typedef {object} SignerInfo
 * @property {string} digest the name of the hash
 * @property {Map<string, Der>} attributes by type, each with its one value
 * @property {Uint8Array<ArrayBuffer>} signedBytes of the attributes
 * @property {Der} identifier of the signature's algorithm
 * @property {Uint8Array<ArrayBuffer>} signature
 * @property {Certificate} certificate of the signer
 */

const SIGNED_DATA = "1.2.840.113549.1.7.2";
const DATA = "1.2.840.113549.1.7.1";
const CONTENT_TYPE = "1.2.840.113549.1.9.3";
const MESSAGE_DIGEST = "1.2.840.113549.1.9.4";
const SIGNING_TIME = "1.2.840.113549.1.9.5";
const SIGNING_CERTIFICATE_V2 = "1.2.840.113549.1.9.16.2.47";

/**
 * @param {Uint8Array<ArrayBuffer>} container
 * @param {Uint8Array<ArrayBuffer>} content
 * @returns {Promise<SignatureReport>}
 */
export async function verifySignedData(container, content) {
  const der = readDer(container);
  const signedData = at(der, 1, 0);
  if (oidOf(at(der, 0)) !== SIGNED_DATA) throw new Error("It is no SignedData");
  const certificates = (signedData.children.find(({ tag }) => tag === 0xa0)?.children ?? []).map(
    readCertificate,
  );
  const signer = readSigner(at(signedData, signedData.children.length - 1), certificates);
  const { certificate, attributes, identifier, digest } = signer;
  const timeValue = attributes.get(SIGNING_TIME);
  const time = timeValue && timeOf(timeValue);
  const isSelfSigned = await hasIssued(certificate, certificate);
  const checks = [
    await checkContent(signer, content),
    await checkSignature(signer),
    await checkCertificate(signer),
    checkTime(certificate, time),
    await checkChain(certificate, certificates, isSelfSigned),
  ].filter((check) => check !== undefined);
  return {
    isVerified: checks.every(({ holds }) => holds),
    checks,
    unchecked: uncheckedOf(isSelfSigned),
    subject: certificate.subject,
    issuer: certificate.issuer,
    subjectCalled: certificate.subjectCalled,
    issuerCalled: certificate.issuerCalled,
    isSelfSigned,
    time,
    algorithm: `${certificate.key}, ${describeScheme(certificate.keyInfo, identifier, digest)}`,
    notBefore: certificate.notBefore,
    notAfter: certificate.notAfter,
    serialNumber: certificate.serialNumber,
    fingerprint: await sha256(certificate.der.bytes),
    certificates: certificates.length,
    containerBytes: der.bytes.length,
  };
}

/**
 * @param {Der} signerInfos
 * @param {readonly Certificate[]} certificates
 * @returns {SignerInfo}
 */
function readSigner(signerInfos, certificates) {
  const [info, other] = signerInfos.children;
  if (info === undefined || other !== undefined) throw new Error("It has not exactly one signer");
  const [issuer, serial] = [at(info, 1, 0), at(info, 1, 1)];
  const certificate = certificates.find(
    (one) => isSame(one.issuerName.bytes, issuer.bytes) && isSame(one.serial, serial.contents),
  );
  if (certificate === undefined) throw new Error("It has no certificate of its signer");
  const signed = at(info, 3);
  if (signed.tag !== 0xa0) throw new Error("It has no signed attributes");
  // What is signed is a SET OF; in the SignerInfo its tag is another one (RFC 5652 §5.4).
  const signedBytes = signed.bytes.slice();
  signedBytes[0] = TAG.set;
  return {
    digest: hashOf(at(info, 2)),
    attributes: new Map(signed.children.map((attribute) => [oidOf(at(attribute, 0)), at(attribute, 1, 0)])),
    signedBytes,
    identifier: at(info, 4),
    signature: at(info, 5).contents,
    certificate,
  };
}

/**
 * @param {SignerInfo} signer
 * @param {Uint8Array<ArrayBuffer>} content
 */
async function checkContent({ attributes, digest }, content) {
  const stated = attributes.get(MESSAGE_DIGEST)?.contents ?? new Uint8Array();
  const computed = new Uint8Array(await crypto.subtle.digest(digest, content));
  const type = attributes.get(CONTENT_TYPE);
  return check(
    isSame(stated, computed) && type !== undefined && oidOf(type) === DATA,
    `The digest that was signed is the ${digest} of this file, hashed again from end to end.`,
    `The digest that was signed is not the ${digest} of this file: something was changed.`,
  );
}

/** @param {SignerInfo} signer */
async function checkSignature({ certificate, identifier, digest, signature, signedBytes }) {
  const { keyInfo } = certificate;
  return check(
    await verifySignature({ keyInfo, identifier, digest, signature, data: signedBytes }),
    "The signature was made with the private key that belongs to the certificate.",
    "The signature was not made with the private key that belongs to the certificate.",
  );
}

/**
 * signingCertificateV2 (RFC 5035 §3) holds a hash of the certificate; SHA-256 where it names none.
 *
 * @param {SignerInfo} signer
 */
async function checkCertificate({ attributes, certificate }) {
  const attribute = attributes.get(SIGNING_CERTIFICATE_V2);
  const [first, second] = attribute ? at(attribute, 0, 0).children : [];
  const [name, stated] =
    first?.tag === TAG.octetString ? ["SHA-256", first] : [first && hashOf(first), second];
  const digest = name === undefined ? undefined : await crypto.subtle.digest(name, certificate.der.bytes);
  return check(
    digest !== undefined && stated !== undefined && isSame(stated.contents, new Uint8Array(digest)),
    "The signature names this very certificate: no other one can take its place.",
    "The signature does not name this certificate.",
  );
}

/**
 * @param {Certificate} certificate
 * @param {Date | undefined} time
 */
function checkTime({ notBefore, notAfter }, time) {
  return check(
    time !== undefined && notBefore <= time && time <= notAfter,
    "The certificate was valid at the time of signing.",
    "The certificate was not valid at the time of signing.",
  );
}

/**
 * The links that are in the container; the root is usually left out of it.
 *
 * @param {Certificate} certificate
 * @param {readonly Certificate[]} certificates
 * @param {boolean} isSelfSigned
 */
async function checkChain(certificate, certificates, isSelfSigned) {
  if (isSelfSigned || certificates.length === 1) return undefined;
  const seen = [certificate];
  for (let current = certificate; ; ) {
    const others = certificates.filter((one) => !seen.includes(one));
    const issuers = await Promise.all(others.map((other) => hasIssued(other, current)));
    const issuer = others[issuers.indexOf(true)];
    if (issuer === undefined) break;
    seen.push(issuer);
    current = issuer;
  }
  return check(
    seen.length === certificates.length,
    `The ${certificates.length} certificates in the signature were issued by one another.`,
    `The ${certificates.length} certificates in the signature do not make a chain.`,
  );
}

/** @param {boolean} isSelfSigned */
function uncheckedOf(isSelfSigned) {
  return [
    isSelfSigned
      ? "Trust: the certificate is signed by itself, so nobody else vouches for the signer. A PDF reader will say so."
      : "Trust: whether the authority that issued the certificate is one that you trust.",
    "Revocation: whether the certificate was taken back.",
    "The clock: the time is the signing service's own, no time stamp vouches for it.",
    "Signatures that the file had before this one, if any. They are left as they were.",
  ];
}

/**
 * @param {boolean} holds
 * @param {string} sentence
 * @param {string} otherwise
 * @returns {Check}
 */
function check(holds, sentence, otherwise) {
  return { holds, sentence: holds ? sentence : otherwise };
}
