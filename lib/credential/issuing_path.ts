import type { KeyObject } from "node:crypto";
import { isSelfSigned, nativeCertificate, parseCertificate } from "./certificate.ts";
import { proveIssuer } from "./chain.ts";
import type { NativeCertificate } from "./native_certificate.ts";

/** A certificate that may belong to a chain. */
export interface Candidate {
  readonly der: Uint8Array;
  readonly native: NativeCertificate;
  /** `undefined` when the platform does not know its algorithm. */
  readonly publicKey: KeyObject | undefined;
  readonly isRoot: boolean;
}

/** A place in a chain that is being built: a certificate and, below it, what it issued. */
interface Step {
  readonly certificate: Candidate;
  /** 0 is the leaf. */
  readonly height: number;
  readonly below: Step | undefined;
}

/** Readers follow no longer chains (GnuTLS: 16), and whoever sends one wants to keep somebody busy. */
const MAX_HEIGHT = 16;

/** @throws Error when it is anything else than the DER of one certificate */
export async function candidate(der: Uint8Array): Promise<Candidate> {
  const native = nativeCertificate(der);
  try {
    return { der, native, publicKey: native.publicKey, isRoot: await isSelfSigned(native) };
  } catch {
    return { der, native, publicKey: undefined, isRoot: false };
  }
}

/** Those that last longest; the order in which certificates come shall make no difference. */
export function latestFirst(a: Candidate, b: Candidate): number {
  return Date.parse(b.native.validTo) - Date.parse(a.native.validTo) || Buffer.compare(a.der, b.der);
}

/**
 * The way from a leaf up through its issuers. Where several certificates could stand in a place, it is a way that
 * `proveChain` accepts now, to a root, the shortest, with those that last longest; if there is none to a root, one
 * that goes as far as there are issuers; and only if there is none either, one that `proveChain` will refuse.
 *
 * @param candidates in the order of preference
 */
export async function issuingPath(
  leaf: Candidate,
  candidates: readonly Candidate[],
  now: Date,
): Promise<Candidate[]> {
  const known = new Map<Candidate, readonly Candidate[]>();
  const issuersOf = async ({ certificate }: Step): Promise<readonly Candidate[]> => {
    const issuers =
      known.get(certificate) ?? (await filtered(candidates, (each) => hasIssued(each, certificate)));
    known.set(certificate, issuers);
    return issuers;
  };
  const isEnd = async (step: Step): Promise<boolean> =>
    (await issuersOf(step)).every((issuer) => pathTo(step).includes(issuer));
  const good = await reachable(leaf, async (step) =>
    filtered(await issuersOf(step), (issuer) => isGood(issuer, step, now)),
  );
  const all = await reachable(leaf, issuersOf);
  // An issuer that is there, and is no good, is not left out in silence: `proveChain` shall say why.
  const top = rootOf(good) ?? highest(await filtered(good, isEnd)) ?? highest(all);
  return top === undefined ? [leaf] : pathTo(top);
}

/** The leaf and what can be reached from it, each certificate once, by one of its shortest ways. */
async function reachable(
  leaf: Candidate,
  issuersOf: (step: Step) => Promise<readonly Candidate[]>,
): Promise<Step[]> {
  const steps: Step[] = [{ certificate: leaf, height: 0, below: undefined }];
  const seen = new Set([leaf]);
  for (const step of steps) {
    if (step.height === MAX_HEIGHT) continue;
    for (const certificate of (await issuersOf(step)).filter((issuer) => !seen.has(issuer))) {
      seen.add(certificate);
      steps.push({ certificate, height: step.height + 1, below: step });
    }
  }
  return steps;
}

async function hasIssued(issuer: Candidate, { native }: Candidate): Promise<boolean> {
  // Names are also known as equal that are written in another way.
  const hasName = issuer.native.subject === native.issuer || native.isIssuedBy(issuer.native);
  return hasName && issuer.publicKey !== undefined && (await native.isSignedBy(issuer.publicKey));
}

async function isGood(issuer: Candidate, { certificate, height }: Step, now: Date): Promise<boolean> {
  try {
    proveIssuer(await parseCertificate(issuer.der), height + 1, now);
    return certificate.native.isIssuedBy(issuer.native);
  } catch {
    return false;
  }
}

async function filtered<T>(all: readonly T[], fits: (each: T) => Promise<boolean>): Promise<T[]> {
  const verdicts = await Promise.all(all.map(fits));
  return all.filter((_, index) => verdicts[index]);
}

const rootOf = (steps: readonly Step[]): Step | undefined =>
  steps.find(({ certificate }) => certificate.isRoot);

const highest = (steps: readonly Step[]): Step | undefined =>
  steps.find(({ height }) => height === steps.at(-1)?.height);

function pathTo(top: Step): Candidate[] {
  const path: Candidate[] = [];
  for (let step: Step | undefined = top; step !== undefined; step = step.below) path.push(step.certificate);
  return path.toReversed();
}
