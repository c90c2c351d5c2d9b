import { createHash, randomBytes, verify } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import pkcs11 from "pkcs11js";
import { type KeyAlgorithmName, type SignatureAlgorithm, signatureAlgorithm } from "../lib/algorithms.ts";
import { serveJob } from "./worker.ts";

/**
 * The base of comparison: C_SignInit and asynchronous C_Sign of pkcs11js on every session at once, over and
 * over, with nothing between. A process for one round.
 */

export interface RawLoopJob {
  readonly modulePath: string;
  readonly tokenLabel: string;
  readonly pin: string;
  readonly keyLabel: string;
  readonly algorithm: KeyAlgorithmName;
  readonly certificatePem: string;
  readonly sessions: number;
  readonly warmUpMs: number;
  readonly measureMs: number;
}

export interface RawLoopResult {
  readonly perSecond: number;
  /** User and system time of the process for one signature, in microseconds. */
  readonly cpuMicros: number;
}

/** What one session signs and where the signature goes; both live as long as the loop. */
interface Lane {
  readonly session: Buffer;
  readonly data: Buffer;
  readonly input: Buffer;
  readonly output: Buffer;
}

async function measure(job: RawLoopJob): Promise<RawLoopResult> {
  const algorithm = signatureAlgorithm(job.algorithm, "SHA-256");
  const library = new pkcs11.PKCS11();
  library.load(job.modulePath);
  library.C_Initialize({ flags: pkcs11.CKF_OS_LOCKING_OK });
  const slot = slotOf(library, job.tokenLabel);
  const lanes = Array.from({ length: job.sessions }, () => openLane(library, slot, algorithm));
  const [first] = lanes;
  if (first === undefined) throw new RangeError("Cannot sign without a session");
  library.C_Login(first.session, pkcs11.CKU_USER, job.pin);
  const key = findPrivateKey(library, first.session, job.keyLabel);
  const loop = new RawLoop(library, algorithm, key);
  const running = lanes.map((lane) => loop.run(lane));
  await delay(job.warmUpMs);
  const [count, cpu, start] = [loop.count, process.cpuUsage(), performance.now()];
  await delay(job.measureMs);
  const [signatures, { user, system }, end] = [loop.count - count, process.cpuUsage(cpu), performance.now()];
  loop.stop();
  await Promise.all(running);
  for (const lane of lanes) requireValid(lane, algorithm, job.certificatePem);
  library.C_Finalize();
  return { perSecond: (signatures * 1_000) / (end - start), cpuMicros: (user + system) / signatures };
}

class RawLoop {
  count = 0;
  #stopped = false;
  readonly #library: pkcs11.PKCS11;
  readonly #mechanism: pkcs11.Mechanism;
  readonly #key: Buffer;

  constructor(library: pkcs11.PKCS11, { mechanism }: SignatureAlgorithm, key: Buffer) {
    this.#library = library;
    this.#mechanism = { mechanism: mechanism.mechanism };
    this.#key = key;
  }

  stop(): void {
    this.#stopped = true;
  }

  run({ session, input, output }: Lane): Promise<void> {
    return new Promise((resolve, reject) => {
      const next = (): void => {
        this.#library.C_SignInit(session, this.#mechanism, this.#key);
        this.#library.C_Sign(session, input, output, (error: Error | null) => {
          if (error) return reject(error);
          this.count += 1;
          if (this.#stopped) resolve();
          else next();
        });
      };
      next();
    });
  }
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
    input: Buffer.from(algorithm.mechanismInput(createHash("sha256").update(data).digest())),
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

/** A loop that counts what is no signature would make the service look slow. */
function requireValid({ data, output }: Lane, algorithm: SignatureAlgorithm, certificatePem: string): void {
  const key = { key: certificatePem, ...algorithm.verifyOptions };
  if (!verify("sha256", data, key, output)) throw new Error("Cannot use the raw loop: a signature is wrong");
}

serveJob(measure);
