import { X509Certificate } from "node:crypto";
import {
  HASH_NAMES,
  KEY_ALGORITHM_NAMES,
  type SignatureAlgorithm,
  signatureAlgorithm,
} from "../algorithms.ts";
import type { Signer } from "../signer.ts";
import { verifySignature } from "../verify_signature.ts";
import {
  type CheckpointEntry,
  type CheckpointReason,
  type Position,
  type Statement,
  sha256,
} from "./record.ts";

/** Who signs checkpoints. */
export interface CheckpointSigner {
  /** Label. */
  readonly credential: string;
  readonly signer: Signer;
  /** DER, leaf first. */
  readonly certificates: readonly Uint8Array[];
}

/**
 * Has the token sign that a trail has come to this position. The signature is a plain one over the JSON text of the
 * statement: `openssl dgst -verify` judges it.
 *
 * @throws SignerError when the token does not sign now
 */
export async function signCheckpoint(
  { credential, signer, certificates }: CheckpointSigner,
  { trail, n, hash }: Position,
  reason: CheckpointReason,
  time: Date,
): Promise<CheckpointEntry> {
  const statement: Statement = {
    about: "hsm-signer audit trail",
    trail,
    n,
    hash,
    time: time.toISOString(),
    reason,
    credential,
    algorithm: nameOf(signer.algorithm),
    certificates: sha256(Buffer.concat(certificates)),
  };
  const signature = await signer.sign(signedBytes(statement));
  return {
    type: "checkpoint",
    statement,
    certificates: certificates.map((der) => Buffer.from(der).toString("base64")),
    signature: Buffer.from(signature).toString("base64"),
  };
}

/**
 * Verifies the signature of a checkpoint with the certificate in it. Whether that is to be trusted is another
 * question.
 *
 * @returns DER of the certificates, leaf first
 * @throws RangeError with what is wrong
 */
export async function verifyCheckpoint(entry: CheckpointEntry): Promise<readonly Buffer[]> {
  const { statement, certificates, signature } = entry;
  const ders = certificates.map((text) => Buffer.from(text, "base64"));
  if (sha256(Buffer.concat(ders)) !== statement.certificates) {
    throw new RangeError("its certificates are not those that its statement names");
  }
  const algorithm = algorithmOf(statement.algorithm);
  if (algorithm === undefined) throw new RangeError("its statement names an algorithm that is not known");
  if (!(await isSigned(statement, Buffer.from(signature, "base64"), ders[0] ?? Buffer.alloc(0), algorithm))) {
    throw new RangeError("its signature is not one of its certificate's key over its statement");
  }
  if (!ders.every(isCertificate)) throw new RangeError("one of its certificates is none");
  return ders;
}

async function isSigned(
  statement: Statement,
  signature: Buffer,
  leaf: Buffer,
  algorithm: SignatureAlgorithm,
): Promise<boolean> {
  try {
    const { publicKey } = new X509Certificate(leaf);
    return await verifySignature(algorithm, publicKey, signedBytes(statement), signature, "der");
  } catch {
    // It throws where the certificate is none, or for another type of key altogether.
    return false;
  }
}

/** Whether it is the DER of one certificate, and nothing else. */
function isCertificate(der: Buffer): boolean {
  try {
    return new X509Certificate(der).raw.equals(der);
  } catch {
    return false;
  }
}

function signedBytes(statement: Statement): Buffer {
  return Buffer.from(JSON.stringify(statement));
}

function nameOf({ key, scheme, hash }: SignatureAlgorithm): string {
  return `${key.name} ${scheme} ${hash.name}`;
}

function algorithmOf(name: string): SignatureAlgorithm | undefined {
  const rows = KEY_ALGORITHM_NAMES.flatMap((key) =>
    HASH_NAMES.flatMap((hash) => [signatureAlgorithm(key, hash), signatureAlgorithm(key, hash, "PSS")]),
  );
  return rows.find((row) => nameOf(row) === name);
}
