import { hash as digestOf } from "node:crypto";

/**
 * The records of a trail. A record is one line of JSON: `prev`, the SHA-256 of the line before it with its line
 * feed; `n`, its number in the trail; `time`; `type`, and what belongs to that type.
 */
export type Entry = BeginEntry | SignatureEntry | CheckpointEntry | TornEntry | GapEntry;

/** The first record of every file. */
export interface BeginEntry {
  readonly type: "begin";
  /** Name of the trail, the same in all of its files. */
  readonly trail: string;
  /** Name of the file that this one goes on from; the first file of a trail has none. */
  readonly former?: string;
}

/** A signature that was made, written before it is answered. */
export interface SignatureEntry {
  readonly type: "signature";
  /** Id of the request. */
  readonly request: string;
  /** Name of whoever asked, where he was authenticated. */
  readonly caller?: string;
  readonly credential: string;
  /** Of the document: which hash, and its value. */
  readonly hash: string;
  readonly digest: string;
  /** Serial number of the signer's certificate. */
  readonly certificate: string;
  /** SHA-256 of the SignedData that was answered, DER. */
  readonly signedData: string;
}

/** Why a checkpoint was made. */
export type CheckpointReason = "start" | "interval" | "records" | "reload" | "rotation" | "stop";

/** A statement on the trail that the token signed. */
export interface CheckpointEntry {
  readonly type: "checkpoint";
  readonly statement: Statement;
  /** DER in base64, leaf first: whose key the signature verifies with, and who certified it. */
  readonly certificates: readonly string[];
  /** Over the JSON text of `statement`, as it stands in the line; base64 of what X.509 carries. */
  readonly signature: string;
}

/** "The record `n` of this trail has this hash." */
export interface Statement {
  /** Keeps the signature from being taken for one over anything else. */
  readonly about: "hsm-signer audit trail";
  readonly trail: string;
  readonly n: number;
  readonly hash: string;
  readonly time: string;
  readonly reason: CheckpointReason;
  readonly credential: string;
  /** Key, scheme and hash: `RSA-2048 PKCS1 SHA-256`. */
  readonly algorithm: string;
  /** SHA-256 over the certificates, one after the other. */
  readonly certificates: string;
}

/** What a crash left at the end of the file was moved aside. */
export interface TornEntry {
  readonly type: "torn";
  /** Name of the file that holds it now. */
  readonly kept: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** For a while nothing could be written. */
export interface GapEntry {
  readonly type: "gap";
  readonly since: string;
  readonly reason: string;
  /** Signatures that were answered all the same. */
  readonly unrecorded: number;
  /** Signatures that were made, and not answered. */
  readonly withheld: number;
}

/** A place in a trail: behind a record. */
export interface Position {
  readonly trail: string;
  /** The record's number, and the hash of its line. */
  readonly n: number;
  readonly hash: string;
}

export type AuditRecord = { readonly prev: string; readonly n: number; readonly time: string } & Entry;

/** What stands in the first record of a trail for the hash of the one before it. */
export const NO_HASH: string = "0".repeat(64);

export function sha256(bytes: Uint8Array): string {
  return digestOf("sha256", bytes, "hex");
}

/** The line of the record that follows a position, and the position behind it. */
export function recordAfter(
  { trail, n, hash }: Position,
  time: Date,
  entry: Entry,
): { readonly line: Buffer; readonly position: Position } {
  // The time of a checkpoint is one that the token has signed.
  const at = entry.type === "checkpoint" ? entry.statement.time : time.toISOString();
  const record = { prev: hash, n: n + 1, time: at, ...entry };
  const line = Buffer.from(`${JSON.stringify(record)}\n`);
  return { line, position: { trail, n: n + 1, hash: sha256(line) } };
}

/** Whether a value may stand in a place. */
type Shape = (value: unknown) => boolean;
/** The members of an object, in their order. */
type Shapes = readonly (readonly [name: string, shape: Shape])[];

const text =
  (pattern: RegExp): Shape =>
  (value) =>
    typeof value === "string" && pattern.test(value);
const optional =
  (shape: Shape): Shape =>
  (value) =>
    value === undefined || shape(value);
const count: Shape = (value) => Number.isSafeInteger(value) && Number(value) >= 0;
const number: Shape = (value) => count(value) && value !== 0;
const anyText: Shape = (value) => typeof value === "string";
const hash = text(/^[0-9a-f]{64}$/);
const hexadecimal = text(/^([0-9a-f]{2})+$/);
const uuid = text(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
const time: Shape = (value) => {
  const date = typeof value === "string" ? new Date(value) : new Date(Number.NaN);
  return !Number.isNaN(date.getTime()) && date.toISOString() === value;
};
const base64: Shape = (value) =>
  typeof value === "string" && value !== "" && Buffer.from(value, "base64").toString("base64") === value;
const base64List: Shape = (value) => Array.isArray(value) && value.length > 0 && value.every(base64);

const STATEMENT: Shapes = [
  ["about", text(/^hsm-signer audit trail$/)],
  ["trail", uuid],
  ["n", number],
  ["hash", hash],
  ["time", time],
  ["reason", text(/^(start|interval|records|reload|rotation|stop)$/)],
  ["credential", anyText],
  ["algorithm", anyText],
  ["certificates", hash],
];

/** What stands in every record. */
const COMMON: Shapes = [
  ["prev", hash],
  ["n", number],
  ["time", time],
  ["type", anyText],
];

const RECORDS: Readonly<Record<Entry["type"], Shapes>> = {
  begin: [...COMMON, ["trail", uuid], ["former", optional(anyText)]],
  signature: [
    ...COMMON,
    ["request", anyText],
    ["caller", optional(anyText)],
    ["credential", anyText],
    ["hash", anyText],
    ["digest", hexadecimal],
    ["certificate", hexadecimal],
    ["signedData", hash],
  ],
  checkpoint: [
    ...COMMON,
    ["statement", (value) => fits(value, STATEMENT)],
    ["certificates", base64List],
    ["signature", base64],
  ],
  torn: [...COMMON, ["kept", anyText], ["bytes", count], ["sha256", hash]],
  gap: [...COMMON, ["since", time], ["reason", anyText], ["unrecorded", count], ["withheld", count]],
};

/**
 * Reads a line, in the one form in which it is written.
 *
 * @param line with its line feed
 * @throws RangeError with what is wrong
 */
export function parseRecord(line: Buffer): AuditRecord {
  let record: unknown;
  try {
    record = JSON.parse(line.toString());
  } catch {
    throw new RangeError("it is not JSON");
  }
  const type =
    isObject(record) && Object.hasOwn(RECORDS, String(record["type"])) ? record["type"] : undefined;
  if (type === undefined) throw new RangeError("it is no record");
  if (!fits(record, RECORDS[type as Entry["type"]])) {
    throw new RangeError(`it does not have the members of a ${type} record`);
  }
  // JSON has many forms for one value, and a reader must not find in the line what a hash of it does not cover.
  if (!line.equals(Buffer.from(`${JSON.stringify(record)}\n`))) {
    throw new RangeError("it is not in the form in which records are written");
  }
  const known = record as AuditRecord;
  if (known.type === "checkpoint" && known.time !== known.statement.time) {
    throw new RangeError("its time is not that of its statement");
  }
  return known;
}

/** Whether an object has these members, in this order, and no others. */
function fits(value: unknown, shapes: Shapes): boolean {
  if (!isObject(value)) return false;
  const names = Object.keys(value);
  let seen = 0;
  for (const [name, isGood] of shapes) {
    const isThere = names[seen] === name;
    if (!isGood(isThere ? value[name] : undefined)) return false;
    if (isThere) seen += 1;
  }
  return seen === names.length;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
