import { createPublicKey, type KeyObject } from "node:crypto";
import { SignerError } from "../errors.ts";
import { distinct } from "./certificate.ts";
import { type Candidate, candidate, issuingPath, latestFirst } from "./issuing_path.ts";
import { nameText } from "./printable.ts";

export interface AssembleChainOptions {
  /** DER, in any order. */
  readonly certificates: readonly Uint8Array[];
  /** Of the key that the leaf is for: a SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array;
  readonly now: Date;
}

export interface AssembledChain {
  /** DER, leaf first, each issued by the one after it, up to the root if that is there. */
  readonly certificates: readonly Uint8Array[];
  /** DER of the others. */
  readonly leftOut: readonly Uint8Array[];
  /** What a person should know about it, a sentence each. */
  readonly warnings: readonly string[];
}

/**
 * Makes a chain out of certificates that came in any order: the leaf is the one for the key, and above each
 * stands one that has its issuer's name and made its signature. Where several could, the way is taken that
 * `proveChain` will accept now, to a root, and the shortest; whether it is accepted, `proveChain` says.
 *
 * @throws SignerError `ERR_CERTIFICATE_KEY_MISMATCH` when none is for the key; it names them
 */
export async function assembleChain({
  certificates,
  publicKey,
  now,
}: AssembleChainOptions): Promise<AssembledChain> {
  const candidates = (await Promise.all(distinct(certificates).map(candidate))).toSorted(latestFirst);
  const key = createPublicKey({ key: Buffer.from(publicKey), format: "der", type: "spki" });
  const leaves = candidates.filter((each) => isFor(each, key)).toSorted(bestLeafFirst(now));
  const [leaf] = leaves;
  if (leaf === undefined) throw noLeaf(candidates);
  const chain = await issuingPath(leaf, candidates, now);
  const leftOut = candidates.filter((each) => !chain.includes(each));
  return {
    certificates: chain.map(({ der }) => der),
    leftOut: leftOut.map(({ der }) => der),
    warnings: [...otherLeaves(leaves), ...strangers(leftOut, leaves), ...missingIssuer(chain, leftOut)],
  };
}

// The leaf.

function isFor({ publicKey }: Candidate, key: KeyObject): boolean {
  return publicKey?.equals(key) === true;
}

/** Valid now, then issued by somebody else, then the latest end. */
function bestLeafFirst(now: Date): (a: Candidate, b: Candidate) => number {
  const rank = (each: Candidate): number => (isValid(each, now) ? 2 : 0) + (each.isRoot ? 0 : 1);
  return (a, b) => rank(b) - rank(a) || latestFirst(a, b);
}

function isValid({ native }: Candidate, now: Date): boolean {
  return Date.parse(native.validFrom) <= now.getTime() && now.getTime() <= Date.parse(native.validTo);
}

// What to tell.

const MOST_NAMES = 5;

function names(candidates: readonly Candidate[]): string {
  const shown = candidates.slice(0, MOST_NAMES).map(({ native }) => `"${nameText(native.subject)}"`);
  const more = candidates.length - shown.length;
  return shown.join(", ") + (more === 0 ? "" : ` and ${more} more`);
}

function noLeaf(candidates: readonly Candidate[]): SignerError {
  const state = candidates.length === 0 ? "there is no certificate" : `there are only ${names(candidates)}`;
  return new SignerError(
    "ERR_CERTIFICATE_KEY_MISMATCH",
    `Cannot find a certificate that is for the key: ${state}`,
  );
}

function otherLeaves([leaf, ...others]: readonly Candidate[]): string[] {
  if (leaf === undefined || others.length === 0) return [];
  const described = [leaf, ...others.slice(0, MOST_NAMES)].map(
    ({ native }) => `${native.serialNumber} (until ${native.validTo})`,
  );
  return [
    `${others.length + 1} certificates are for the key; taken is the one with the serial number ` +
      `${described[0]}, not ${described.slice(1).join(", ")}`,
  ];
}

function strangers(leftOut: readonly Candidate[], leaves: readonly Candidate[]): string[] {
  const others = leftOut.filter((each) => !leaves.includes(each));
  return others.length === 0 ? [] : [`left out, since the chain goes another way: ${names(others)}`];
}

/** The root is often not there, and need not be; but a chain of one, or one beside other CAs, has a gap. */
function missingIssuer(chain: readonly Candidate[], leftOut: readonly Candidate[]): string[] {
  const top = chain.at(-1);
  const isSuspect = chain.length === 1 || leftOut.some(({ native }) => native.ca);
  if (top === undefined || top.isRoot || !isSuspect) return [];
  const [subject, issuer] = [nameText(top.native.subject), nameText(top.native.issuer)];
  return [
    `the chain ends at "${subject}", and the certificate of "${issuer}", which issued it, is not there: ` +
      "unless that is a root, ask the CA for it, since readers cannot find it",
  ];
}
