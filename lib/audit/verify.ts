import { BrokenRecordError, ChainWalk } from "./chain_walk.ts";
import { verifyCheckpoint } from "./checkpoint.ts";
import type { Line } from "./lines.ts";
import { type AuditRecord, type CheckpointEntry, type Position, parseRecord } from "./record.ts";

/** A file of a trail. */
export interface TrailSource {
  readonly name: string;
  /** @throws Error when it cannot be read */
  lines(): AsyncIterable<readonly Line[]>;
}

export interface VerifyOptions {
  /**
   * Whether a checkpoint's certificates are those of the service.
   *
   * @param certificates DER, leaf first
   * @param time at which they signed
   * @returns what speaks against it; `undefined` when nothing does
   */
  readonly distrust?: (certificates: readonly Uint8Array[], time: Date) => Promise<string | undefined>;
  /** Hash of a record that has to be there. */
  readonly expected?: string;
}

/** What is wrong, and where. */
export interface TrailFault {
  readonly file: string;
  /** From 1 on; `undefined` where it is about no line. */
  readonly line: number | undefined;
  readonly reason: string;
}

/** The last checkpoint that is good. */
export interface ProvenPart {
  /** Number of the last record that it speaks of, and of the checkpoint itself. */
  readonly record: number;
  readonly checkpoint: number;
  readonly time: string;
  readonly credential: string;
  /** DER. */
  readonly certificate: Uint8Array;
}

/** What is known of a trail, up to its end or to its first fault. */
export interface TrailReport {
  readonly fault: TrailFault | undefined;
  readonly trail: string | undefined;
  /** In their order. */
  readonly files: readonly { readonly name: string; readonly first: number; readonly last: number }[];
  readonly signatures: number;
  readonly last: Position | undefined;
  readonly proven: ProvenPart | undefined;
  /** Records that tell of trouble: times without records, what crashes left. */
  readonly notes: readonly AuditRecord[];
}

/** The hash of a record that nobody asks for any more is not kept. */
type Hashes = Map<number, string>;

/**
 * Proves that what is in the files is what was written to them: each record carries the hash of the one before it,
 * and checkpoints are signed. It ends at the first record that does not fit.
 *
 * What it cannot show: that there was nothing behind the last record. Who can write to the file can cut its end
 * off, and replace what no checkpoint covers.
 *
 * @param sources in any order
 * @throws Error when a file cannot be read
 */
export async function verifyTrail(
  sources: readonly TrailSource[],
  options: VerifyOptions = {},
): Promise<TrailReport> {
  const proof = new TrailProof(options);
  const ordered = await inOrder(sources);
  for (const source of ordered) {
    if (!(await proof.follow(source))) break;
  }
  return proof.report();
}

/** By the number of their first record; those that have none come first, and are the first fault. */
async function inOrder(sources: readonly TrailSource[]): Promise<readonly TrailSource[]> {
  const firsts = await Promise.all(sources.map(async (source) => ({ source, n: await firstNumber(source) })));
  return firsts.toSorted((a, b) => a.n - b.n).map(({ source }) => source);
}

async function firstNumber({ lines }: TrailSource): Promise<number> {
  try {
    for await (const [line] of lines()) if (line !== undefined) return parseRecord(line.bytes).n;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  return 0;
}

class TrailProof {
  readonly #options: VerifyOptions;
  readonly #files: { name: string; first: number; last: number }[] = [];
  readonly #notes: AuditRecord[] = [];
  readonly #hashes: Hashes = new Map();
  #position: Position | undefined;
  #signatures = 0;
  #proven: ProvenPart | undefined;
  #fault: TrailFault | undefined;
  #isExpectedSeen = false;

  constructor(options: VerifyOptions) {
    this.#options = options;
  }

  /** @returns whether all of the file is good */
  async follow({ name, lines }: TrailSource): Promise<boolean> {
    const walk = new ChainWalk(this.#position);
    try {
      for await (const some of lines()) {
        for (const line of some) {
          const record = walk.next(line);
          if (record.type === "checkpoint") await this.#takeCheckpoint(record, record.n, walk);
          this.#take(walk, record, name);
        }
      }
      if (walk.lines > 0) return true;
      this.#fault = { file: name, line: undefined, reason: "it is empty" };
    } catch (error) {
      if (!(error instanceof BrokenRecordError)) throw error;
      const { line, reason } = error;
      this.#fault = { file: name, line, reason };
    }
    return false;
  }

  report(): TrailReport {
    const { expected } = this.#options;
    const isMissed = expected !== undefined && !this.#isExpectedSeen;
    const file = this.#files.at(-1)?.name ?? "";
    const reason = "the record that was expected is not there: what was behind the last one was cut off";
    return {
      fault: this.#fault ?? (isMissed ? { file, line: undefined, reason } : undefined),
      trail: this.#position?.trail,
      files: this.#files,
      signatures: this.#signatures,
      last: this.#position,
      proven: this.#proven,
      notes: this.#notes,
    };
  }

  #take({ position }: ChainWalk, record: AuditRecord, name: string): void {
    if (record.type === "begin") this.#files.push({ name, first: record.n, last: record.n });
    const file = this.#files.at(-1);
    if (position === undefined || file === undefined) return;
    // The first record names the one before it, which a checkpoint may speak of.
    if (this.#position === undefined) this.#hashes.set(record.n - 1, record.prev);
    file.last = record.n;
    this.#position = position;
    this.#hashes.set(record.n, position.hash);
    if (record.type === "signature") this.#signatures += 1;
    if (record.type === "gap" || record.type === "torn") this.#notes.push(record);
    if (position.hash === this.#options.expected) this.#isExpectedSeen = true;
  }

  async #takeCheckpoint(entry: CheckpointEntry, checkpoint: number, walk: ChainWalk): Promise<void> {
    const { n, hash, trail, time, credential } = entry.statement;
    const broken = (reason: string): BrokenRecordError => new BrokenRecordError(walk.lines, reason);
    const certificates = await verifyCheckpoint(entry).catch((error: unknown) => {
      if (!(error instanceof RangeError)) throw error;
      throw broken(error.message);
    });
    if (trail !== this.#position?.trail) throw broken("its statement is about another trail");
    if (n >= checkpoint || n < (this.#proven?.record ?? 0)) {
      throw broken(`its statement is about record ${n}, which is none that it can be about`);
    }
    const known = this.#hashes.get(n);
    if (known !== undefined && known !== hash) {
      throw broken(`its statement has another hash for record ${n}`);
    }
    const distrust = await this.#options.distrust?.(certificates, new Date(time));
    if (distrust !== undefined) throw broken(`its certificate is not the service's: ${distrust}`);
    const [certificate] = certificates;
    // Of a record in a file that was not given, nothing is known.
    if (known === undefined || certificate === undefined) return;
    this.#proven = { record: n, checkpoint, time, credential, certificate };
    for (const number of this.#hashes.keys()) {
      if (number >= n) break;
      this.#hashes.delete(number);
    }
  }
}
