import { randomBytes } from "node:crypto";
import pkcs11 from "pkcs11js";
import { type Inside, type Kind, RawLibrary } from "../cloudhsm/raw_library.ts";
import type { BackEnd } from "../support/back_ends.ts";
import { judgement, returnCodesSeen } from "./return_codes_seen.ts";

const SIGNATURES = 200;
const QUORUM_PATIENCE_MS = 60_000;
const QUORUM_STEP_MS = 20;

/** What is worth recording of a module and the token behind it, in lines for a person. */
export function moduleFacts(backEnd: BackEnd): string[] {
  const raw = new RawLibrary(backEnd);
  const codes = returnCodesSeen(raw, backEnd.pin).map(
    (seen) => `${seen.what}: ${seen.code} (${judgement(seen)})`,
  );
  return raw.loggedIn({}, (inside) => [
    ...describeModule(raw, inside),
    ...measure(raw, inside, "EC", backEnd.keyLabel("latency EC")),
    ...measure(raw, inside, "RSA", backEnd.keyLabel("latency RSA")),
    ...codes,
  ]);
}

function describeModule({ library }: RawLibrary, { slot }: Inside): string[] {
  const info = library.C_GetInfo();
  const token = library.C_GetTokenInfo(slot);
  const version = ({ major, minor }: pkcs11.Version): string => `${major}.${minor}`;
  const mechanisms = library.C_GetMechanismList(slot).map(mechanismName).sort();
  return [
    `library: ${info.libraryDescription.trim()} ${version(info.libraryVersion)} of ${info.manufacturerID.trim()}, Cryptoki ${version(info.cryptokiVersion)}`,
    `slot: 0x${slot.readBigUInt64LE().toString(16)}`,
    `token: ${token.label.trim()}, ${token.model.trim()} of ${token.manufacturerID.trim()}, hardware ${version(token.hardwareVersion)}, firmware ${version(token.firmwareVersion)}, sessions at most ${token.maxSessionCount || "(not told)"}`,
    `${mechanisms.length} mechanisms: ${mechanisms.join(" ")}`,
  ];
}

function mechanismName(mechanism: number): string {
  const name = Object.keys(pkcs11).find(
    (each) => each.startsWith("CKM_") && Reflect.get(pkcs11, each) === mechanism,
  );
  return name ?? `0x${mechanism.toString(16)}`;
}

/** How soon a new key signs, and how fast it does then, one call after the other on one session. */
function measure(raw: RawLibrary, { session }: Inside, kind: Kind, LABEL: string): string[] {
  const common = { TOKEN: true, LABEL, ID: randomBytes(20) };
  const { privateKey } = raw.pair(
    session,
    kind,
    { ...common, VERIFY: true },
    { ...common, SIGN: true, SENSITIVE: true, EXTRACTABLE: false },
  );
  const { library } = raw;
  const mechanism = kind === "EC" ? pkcs11.CKM_ECDSA : pkcs11.CKM_RSA_PKCS;
  const [input, output] = [randomBytes(32), Buffer.alloc(256)];
  const begin = (): void => library.C_SignInit(session, { mechanism }, privateKey);
  const sign = (): unknown => library.C_Sign(session, input, output);
  const quorum = untilUsable(begin);
  sign();
  const times = Array.from(
    { length: SIGNATURES },
    () => [millisecondsOf(begin), millisecondsOf(sign)] as const,
  );
  const [inits, signs] = [times.map(([init]) => init), times.map(([, time]) => time)];
  return [
    `new ${kind} key: ${quorum}`,
    `latency, ${kind}: C_SignInit ${median(inits)} ms, C_Sign ${median(signs)} ms (medians of ${SIGNATURES})`,
  ];
}

function untilUsable(begin: () => void): string {
  const start = performance.now();
  const refusals = new Map<string, number>();
  for (;;) {
    const waited = Math.round(performance.now() - start);
    try {
      begin();
      const counts = [...refusals].map(([message, count]) => `${count} times ${message}`).join(", ");
      return refusals.size === 0 ? "signs at once" : `signs after ${waited} ms; before that ${counts}`;
    } catch (error) {
      if (waited > QUORUM_PATIENCE_MS) throw error;
      const { message } = error as Error;
      refusals.set(message, (refusals.get(message) ?? 0) + 1);
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, QUORUM_STEP_MS);
    }
  }
}

function millisecondsOf(call: () => unknown): number {
  const start = performance.now();
  call();
  return performance.now() - start;
}

function median(values: readonly number[]): string {
  return (values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0).toFixed(3);
}
