import { createHash, randomBytes, verify } from "node:crypto";
import pkcs11 from "pkcs11js";
import { type KeyAlgorithmName, type SignatureAlgorithm, signatureAlgorithm } from "../../lib/algorithms.ts";

/** pkcs11js and nothing else: what the loops over the bare token have in common. */

export interface TokenJob {
  readonly modulePath: string;
  readonly tokenLabel: string;
  readonly pin: string;
  readonly keyLabel: string;
  readonly algorithm: KeyAlgorithmName;
  readonly certificatePem: string;
  readonly warmUpMs: number;
  readonly measureMs: number;
}

/** A token that is logged in, and its sessions. */
export interface OpenToken {
  readonly library: pkcs11.PKCS11;
  readonly mechanism: pkcs11.Mechanism;
  readonly key: Buffer;
  readonly lanes: readonly Lane[];
}

/** What one session signs and where the signature goes; both live as long as the loop. */
export interface Lane {
  readonly session: Buffer;
  readonly data: Buffer;
  readonly input: Buffer;
  readonly output: Buffer;
}

export function openToken(job: TokenJob, sessions: number): OpenToken {
  const algorithm = algorithmOf(job);
  const library = new pkcs11.PKCS11();
  library.load(job.modulePath);
  library.C_Initialize({ flags: pkcs11.CKF_OS_LOCKING_OK });
  const slot = slotOf(library, job.tokenLabel);
  const lanes = Array.from({ length: sessions }, () => openLane(library, slot, algorithm));
  const [first] = lanes;
  if (first === undefined) throw new RangeError("Cannot sign without a session");
  library.C_Login(first.session, pkcs11.CKU_USER, job.pin);
  const key = findPrivateKey(library, first.session, job.keyLabel);
  return { library, mechanism: { mechanism: algorithm.mechanism.mechanism }, key, lanes };
}

/** @throws Error when a session's last signature is none: a loop that counts such would make the service look slow */
export function closeToken({ library, lanes }: OpenToken, job: TokenJob): void {
  const algorithm = algorithmOf(job);
  const key = { key: job.certificatePem, ...algorithm.verifyOptions };
  const isRight = lanes.every(({ data, output }) => verify(algorithm.hash.nodeName, data, key, output));
  if (!isRight) throw new Error("Cannot use the loop: a signature is wrong");
  library.C_Finalize();
}

function algorithmOf(job: TokenJob): SignatureAlgorithm {
  return signatureAlgorithm(job.algorithm, "SHA-256");
}

function slotOf(library: pkcs11.PKCS11, label: string): Buffer {
  const slot = library
    .C_GetSlotList(true)
    .find((candidate) => library.C_GetTokenInfo(candidate).label.replace(/[\s\0]+$/, "") === label);
  if (slot === undefined) throw new Error(`Cannot find the token "${label}"`);
  return slot;
}

function openLane(library: pkcs11.PKCS11, slot: Buffer, algorithm: SignatureAlgorithm): Lane {
  const data = randomBytes(32);
  return {
    session: library.C_OpenSession(slot, pkcs11.CKF_SERIAL_SESSION | pkcs11.CKF_RW_SESSION),
    data,
    input: Buffer.from(algorithm.mechanismInput(createHash(algorithm.hash.nodeName).update(data).digest())),
    output: Buffer.alloc(algorithm.rawSignatureLength),
  };
}

function findPrivateKey(library: pkcs11.PKCS11, session: Buffer, label: string): Buffer {
  library.C_FindObjectsInit(session, [
    { type: pkcs11.CKA_CLASS, value: pkcs11.CKO_PRIVATE_KEY },
    { type: pkcs11.CKA_LABEL, value: label },
  ]);
  const [key] = library.C_FindObjects(session, 1);
  library.C_FindObjectsFinal(session);
  if (key === undefined) throw new Error(`Cannot find the private key "${label}"`);
  return key;
}
