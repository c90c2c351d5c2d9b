import { closeSync, openSync, readFileSync, renameSync, writeFileSync, writeSync } from "node:fs";
import type pkcs11 from "pkcs11js";
import { constant, type ReturnValue } from "./constants.ts";

type Pkcs11Function = Exclude<
  Extract<keyof pkcs11.PKCS11, `C_${string}`>,
  `${string}Async` | `${string}Callback`
>;

/** A fault of some calls: of a function, or of every one that asks the cluster. */
export type CallFault = {
  readonly on: Pkcs11Function | "cluster requests";
  /** How many calls it befalls, over all processes; by standard all, until the next order. */
  readonly times?: number;
  /** Of each call, from 0 to 1, its standard. */
  readonly probability?: number;
} & CallEffect;

type CallEffect =
  /** The call takes so much longer: before anything is done, and before its input is read. */
  | { readonly latencyUs: number }
  /** The call returns this, a name or the number of a vendor's own, and does nothing. */
  | { readonly returns: ReturnValue | number }
  /** The call does not return before it is released. */
  | { readonly hangs: true }
  /** C_Sign or C_SignFinal gives a signature that is none, with CKR_OK. */
  | { readonly signs: "wrongly" };

/**
 * What is wrong with the cluster from now on. Each order takes the place of the former one: what it does not name
 * is well again, but for what cannot be undone (lost sessions, handles, a call that hangs).
 */
export interface Order {
  readonly calls?: readonly CallFault[];
  /** An HSM was replaced: the requests that are under way fail, later ones succeed. */
  readonly hsmReplaced?: boolean;
  /**
   * The cluster cannot be reached: every request fails, sessions and the login are lost. It is back after a time,
   * or with the next order; what was lost is not.
   */
  readonly disconnected?: boolean | { readonly forMs?: number; readonly initializeFails?: boolean };
  /** Keys that are made from now on cannot sign before so many milliseconds and so many refused C_SignInits. */
  readonly quorum?: { readonly delayMs?: number; readonly refusals?: number };
  /** C_OpenSession says that there are too many: so many times, or `true` until the next order. */
  readonly sessionsExhausted?: boolean | number;
  /** The user's PIN, `signer:<password>`; the former one is refused. */
  readonly pin?: string;
  /** Every handle of an object is invalid, as after the objects were deleted and restored. */
  readonly handlesRenewed?: boolean;
  /** Calls that hang go on. */
  readonly released?: boolean;
}

/** `struct order` of faults.h: words of 8 bytes, two passwords, faults, and room for what the simulator notes. */
const WORDS = 10;
const PASSWORD_SIZE = 64;
const FORMER_PASSWORD = { start: 8 * WORDS + PASSWORD_SIZE, end: 8 * WORDS + 2 * PASSWORD_SIZE };
const MAX_FAULTS = 32;
const FAULT_SIZE = 56;
const FUNCTION_SIZE = 24;
const NEW_KEYS_SIZE = 8 + 64 * 24;
/** Places of the words that count events. */
const EVENTS = { disconnections: 1, replacements: 2, renewals: 3, releases: 4 } as const;
const EFFECTS = { latency: 1n, return: 2n, wrongSignature: 3n, hang: 4n } as const;
const WITHOUT_END = -1n;
const FOR_EVER = 2n ** 64n - 1n;

/** Makes the control file, with everything well. */
export function writeFirstOrder(path: string, softHsmPin: string): void {
  writeFileSync(path, encoded({}, Array(WORDS).fill(0n), text(softHsmPin, PASSWORD_SIZE)), { mode: 0o600 });
}

/** Puts an order into force, for every process that has the simulator or will have it. */
export function giveOrder(path: string, order: Order): void {
  const former = readFileSync(path);
  const formerWords = Array.from({ length: WORDS }, (_, index) => former.readBigUInt64LE(8 * index));
  const softHsmPin = former.subarray(FORMER_PASSWORD.start, FORMER_PASSWORD.end);
  writeFileSync(`${path}.new`, encoded(order, formerWords, softHsmPin), { mode: 0o600 });
  const descriptor = openSync(path, "r+");
  renameSync(`${path}.new`, path);
  // Whoever has mapped the former file looks for the new one from now on.
  writeSync(descriptor, Uint8Array.of(1), 0, 1, 0);
  closeSync(descriptor);
}

function encoded(order: Order, former: readonly bigint[], softHsmPin: Buffer): Buffer {
  const { calls = [], disconnected = false, sessionsExhausted = 0, quorum = {} } = order;
  if (calls.length > MAX_FAULTS) throw new RangeError(`More than ${MAX_FAULTS} faults at once`);
  const count = (event: keyof typeof EVENTS, happens: unknown): bigint =>
    (former[EVENTS[event]] ?? 0n) + (happens ? 1n : 0n);
  const { forMs, initializeFails = false } = typeof disconnected === "object" ? disconnected : {};
  const awayUntil = forMs === undefined ? FOR_EVER : nanoseconds(Date.now() + 1 + forMs);
  return Buffer.concat([
    words(
      0n,
      count("disconnections", disconnected),
      count("replacements", order.hsmReplaced),
      count("renewals", order.handlesRenewed),
      count("releases", order.released),
      disconnected === false ? 0n : awayUntil,
      initializeFails ? 1n : 0n,
      sessionsExhausted === true ? WITHOUT_END : BigInt(Number(sessionsExhausted)),
      nanoseconds(quorum.delayMs ?? 0),
      BigInt(quorum.refusals ?? 0),
    ),
    text(passwordOf(order.pin), PASSWORD_SIZE),
    softHsmPin,
    words(BigInt(calls.length)),
    ...calls.map(encodedFault),
    Buffer.alloc((MAX_FAULTS - calls.length) * FAULT_SIZE + NEW_KEYS_SIZE),
  ]);
}

function encodedFault(fault: CallFault): Buffer {
  const { on, times, probability = 1 } = fault;
  const [effect, value] = effectOf(fault);
  const limit = times === undefined ? WITHOUT_END : BigInt(times);
  const probabilityOf2To32 = BigInt(Math.round(probability * 2 ** 32));
  return Buffer.concat([text(on, FUNCTION_SIZE), words(effect, value, probabilityOf2To32, limit)]);
}

function effectOf(fault: CallEffect): readonly [bigint, bigint] {
  if ("latencyUs" in fault) return [EFFECTS.latency, BigInt(Math.round(fault.latencyUs))];
  if ("hangs" in fault) return [EFFECTS.hang, 0n];
  if ("signs" in fault) return [EFFECTS.wrongSignature, 0n];
  const { returns } = fault;
  return [EFFECTS.return, BigInt(typeof returns === "number" ? returns : constant(returns))];
}

const passwordOf = (pin = ""): string => pin.slice(pin.indexOf(":") + 1);

const nanoseconds = (milliseconds: number): bigint => BigInt(Math.round(milliseconds * 1e6));

function words(...values: bigint[]): Buffer {
  const bytes = Buffer.alloc(8 * values.length);
  for (const [index, value] of values.entries()) bytes.writeBigUInt64LE(BigInt.asUintN(64, value), 8 * index);
  return bytes;
}

/** Ended by a zero, and filled up with more. */
function text(value: string, size: number): Buffer {
  if (Buffer.byteLength(value) >= size) throw new RangeError(`Longer than ${size - 1} bytes`);
  const bytes = Buffer.alloc(size);
  bytes.write(value);
  return bytes;
}
