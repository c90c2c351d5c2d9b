import { verify, X509Certificate } from "node:crypto";
import type { SignatureAlgorithm } from "../../lib/algorithms.ts";
import { at, type DerValue, oid, readDer } from "./der_reader.ts";

const MESSAGE_DIGEST = "1.2.840.113549.1.9.4";

/**
 * Whether a detached SignedData is a signature over a digest: its messageDigest is that digest, and its signature
 * over the signed attributes verifies with the first certificate in it. Quick, so that each answer of a load can be
 * looked at; the judges of `judges.ts` have the last word on the form.
 */
export function isSignatureOver(
  digest: Uint8Array,
  p7: Uint8Array,
  { hash, verifyOptions }: SignatureAlgorithm,
): boolean {
  const signedData = at(readDer(p7), 1, 0);
  const signerInfo = at(signedData, 4, 0);
  const attributes = at(signerInfo, 3);
  const messageDigest = attributes.children.find((attribute) => oid(at(attribute, 0)) === MESSAGE_DIGEST);
  if (messageDigest === undefined || !at(messageDigest, 1, 0).contents.equals(digest)) return false;
  const key = certificateIn(signedData).publicKey;
  // Signed under the tag of a SET OF, carried under [0] (RFC 5652 §5.4).
  const signed = Buffer.concat([Uint8Array.of(0x31), attributes.bytes.subarray(1)]);
  return verify(
    hash.nodeName,
    signed,
    { ...verifyOptions, key, dsaEncoding: "der" },
    at(signerInfo, 5).contents,
  );
}

/** The one certificate in a SignedData; of several, the first. */
export function certificateIn(signedData: DerValue): X509Certificate {
  return new X509Certificate(at(signedData, 3, 0).bytes);
}
