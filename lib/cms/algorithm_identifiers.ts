import * as asn1js from "asn1js";
import { AlgorithmIdentifier, RSASSAPSSParams } from "pkijs";
import type { HashAlgorithm, SignatureAlgorithm } from "../algorithms.ts";

/** AlgorithmIdentifier of a SHA-2 hash, parameters absent (RFC 5754 §2), DER. */
export function digestAlgorithmIdentifier(hash: HashAlgorithm): Uint8Array {
  return encode(new AlgorithmIdentifier({ algorithmId: hash.oid }));
}

/**
 * AlgorithmIdentifier of a signature, DER: NULL for sha*WithRSAEncryption (RFC 4055 §5), absent for
 * ecdsa-with-SHA* (RFC 5754 §3.3), explicit for RSASSA-PSS with the hash, MGF1 of the same hash and a salt as
 * long as the hash (RFC 4055 §3.1).
 */
export function signatureAlgorithmIdentifier(algorithm: SignatureAlgorithm): Uint8Array {
  return encode(
    new AlgorithmIdentifier({
      algorithmId: algorithm.oid,
      ...PARAMETERS[algorithm.parameters](algorithm.hash),
    }),
  );
}

const PARAMETERS: Readonly<
  Record<SignatureAlgorithm["parameters"], (hash: HashAlgorithm) => { algorithmParams?: unknown }>
> = {
  absent: () => ({}),
  null: () => ({ algorithmParams: new asn1js.Null() }),
  pss: (hash) => ({ algorithmParams: pssParameters(hash) }),
};

const ID_MGF1 = "1.2.840.113549.1.1.8";

function pssParameters(hash: HashAlgorithm): asn1js.Sequence {
  // RFC 4055 §2.1: within RSASSA-PSS-params the hash's own parameters are NULL; readers accept both, and
  // OpenSSL and NSS write NULL.
  const hashAlgorithm = new AlgorithmIdentifier({
    algorithmId: hash.oid,
    algorithmParams: new asn1js.Null(),
  });
  return new RSASSAPSSParams({
    hashAlgorithm,
    maskGenAlgorithm: new AlgorithmIdentifier({
      algorithmId: ID_MGF1,
      algorithmParams: hashAlgorithm.toSchema(),
    }),
    saltLength: hash.length,
  }).toSchema();
}

function encode(identifier: AlgorithmIdentifier): Uint8Array {
  return new Uint8Array(identifier.toSchema().toBER(false));
}
