import type { KeyObject, X509Certificate } from "node:crypto";
import { isSelfSigned, nativeCertificate, parseCertificate } from "./certificate.ts";
import { proveIssuer } from "./chain.ts";

/** A certificate that may belong to a chain. */
export interface Candidate {
  readonly der: Uint8Array;
  readonly native: X509Certificate;
  /** `undefined` when OpenSSL does not know its algorithm. */
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
export function candidate(der: Uint8Array): Candidate {
  const native = nativeCertificate(der);
  try {
    return { der, native, publicKey: native.publicKey, isRoot: isSelfSigned(native) };
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
export function issuingPath(leaf: Candidate, candidates: readonly Candidate[], now: Date): Candidate[] {
  const known = new Map<Candidate, readonly Candidate[]>();
  const issuersOf = ({ certificate }: Step): readonly Candidate[] => {
    const issuers = known.get(certificate) ?? candidates.filter((each) => hasIssued(each, certificate));
    known.set(certificate, issuers);
    return issuers;
  };
  const isEnd = (step: Step): boolean => issuersOf(step).every((issuer) => pathTo(step).includes(issuer));
  const good = reachable(leaf, (step) => issuersOf(step).filter((issuer) => isGood(issuer, step, now)));
  const all = reachable(leaf, issuersOf);
  // An issuer that is there, and is no good, is not left out in silence: `proveChain` shall say why.
  const top = rootOf(good) ?? highest(good.filter(isEnd)) ?? highest(all);
  return top === undefined ? [leaf] : pathTo(top);
}

/** The leaf and what can be reached from it, each certificate once, by one of its shortest ways. */
function reachable(leaf: Candidate, issuersOf: (step: Step) => readonly Candidate[]): Step[] {
  const steps: Step[] = [{ certificate: leaf, height: 0, below: undefined }];
  const seen = new Set([leaf]);
  for (const step of steps) {
    if (step.height === MAX_HEIGHT) continue;
    for (const certificate of issuersOf(step).filter((issuer) => !seen.has(issuer))) {
      seen.add(certificate);
      steps.push({ certificate, height: step.height + 1, below: step });
    }
  }
  return steps;
}

function hasIssued(issuer: Candidate, { native }: Candidate): boolean {
  // OpenSSL also knows names as equal that are written in another way.
  const hasName = issuer.native.subject === native.issuer || native.checkIssued(issuer.native);
  return hasName && issuer.publicKey !== undefined && native.verify(issuer.publicKey);
}

function isGood(issuer: Candidate, { certificate, height }: Step, now: Date): boolean {
  try {
    proveIssuer(parseCertificate(issuer.der), height + 1, now);
    return certificate.native.checkIssued(issuer.native);
  } catch {
    return false;
  }
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
