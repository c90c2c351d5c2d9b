import type { KeyObject } from "node:crypto";
import * as asn1js from "asn1js";
import { Certificate, ContentInfo, IssuerAndSerialNumber, SignedData, type SignerInfo } from "pkijs";
import type { SignatureAlgorithm } from "../algorithms.ts";
import { verifySignature } from "../verify_signature.ts";
import { ID_MESSAGE_DIGEST } from "./attributes.ts";

/** What a container has to be. */
export interface ExpectedSignedData {
  readonly algorithm: SignatureAlgorithm;
  /** Of the content. */
  readonly digest: Uint8Array;
  /** The signer's certificate, DER, and its key. */
  readonly certificate: Uint8Array;
  readonly publicKey: KeyObject;
}

/**
 * Reads a detached SignedData as a reader of the document does, and verifies it in software (RFC 5652 §5.6): the
 * digest in it, the signature over its attributes, and that the signer's certificate is there.
 *
 * @throws RangeError that says what is wrong
 */
export async function verifySignedData(container: Uint8Array, expected: ExpectedSignedData): Promise<void> {
  const { signerInfos } = read(container);
  const [signer] = signerInfos;
  if (signer === undefined || signerInfos.length > 1) {
    throw new RangeError(`it has ${signerInfos.length} signers`);
  }
  if (!isSignedBy(signer, container, expected.certificate)) {
    throw new RangeError("it does not hold the signer's certificate, or names another signer");
  }
  const { hash, oid } = expected.algorithm;
  if (signer.digestAlgorithm.algorithmId !== hash.oid || signer.signatureAlgorithm.algorithmId !== oid) {
    throw new RangeError("it names other algorithms");
  }
  const attributes = signer.signedAttrs;
  const digest = attributes?.attributes.find(({ type }) => type === ID_MESSAGE_DIGEST)?.values[0];
  if (!(digest instanceof asn1js.OctetString) || !equal(digest.valueBlock.valueHexView, expected.digest)) {
    throw new RangeError("it holds another digest");
  }
  const signed = new Uint8Array(attributes?.encodedValue ?? new ArrayBuffer(0));
  const signature = signer.signature.valueBlock.valueHexView;
  if (!(await verifySignature(expected.algorithm, expected.publicKey, signed, signature, "der"))) {
    throw new RangeError("its signature does not verify");
  }
}

function read(container: Uint8Array): SignedData {
  const { contentType, content } = ContentInfo.fromBER(Uint8Array.from(container).buffer);
  if (contentType !== ContentInfo.SIGNED_DATA) throw new RangeError(`it holds ${contentType}`);
  return new SignedData({ schema: content });
}

/** Whether the signer is the owner of the certificate, and the container holds it, byte for byte. */
function isSignedBy({ sid }: SignerInfo, container: Uint8Array, certificate: Uint8Array): boolean {
  const { issuer, serialNumber } = Certificate.fromBER(Uint8Array.from(certificate).buffer);
  return (
    sid instanceof IssuerAndSerialNumber &&
    issuer.isEqual(sid.issuer) &&
    serialNumber.isEqual(sid.serialNumber) &&
    Buffer.from(container).includes(Buffer.from(certificate))
  );
}

function equal(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.compare(one, other) === 0;
}
