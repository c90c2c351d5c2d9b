import type { Line } from "./lines.ts";
import { type AuditRecord, NO_HASH, type Position, parseRecord, sha256 } from "./record.ts";

/** A line is not the one that was written there. */
export class BrokenRecordError extends RangeError {
  /** Number of the line in its file, from 1 on. */
  readonly line: number;
  /** What is wrong, to stand behind "line 17: ". */
  readonly reason: string;

  constructor(line: number, reason: string) {
    super(`Cannot follow the trail: line ${line}: ${reason}`);
    this.name = "BrokenRecordError";
    this.line = line;
    this.reason = reason;
  }
}

/** Follows the records of one file, line after line, and holds them against each other. */
export class ChainWalk {
  #position: Position | undefined;
  #lines = 0;

  /**
   * @param former where the file before this one ended, if that is known
   */
  constructor(former?: Position) {
    this.#position = former;
  }

  /** Behind the last record that was good. */
  get position(): Position | undefined {
    return this.#position;
  }

  /** How many lines were good. */
  get lines(): number {
    return this.#lines;
  }

  /** @throws BrokenRecordError */
  next({ bytes, isWhole }: Line): AuditRecord {
    if (!isWhole) throw this.#broken("it is not whole: its end was never written, or was cut off");
    const record = this.#parse(bytes);
    const isFirst = this.#lines === 0;
    if (isFirst !== (record.type === "begin")) {
      throw this.#broken(
        isFirst ? "it is not the first record of a file" : "it is the first record of another file",
      );
    }
    const trail = record.type === "begin" ? record.trail : (this.#position?.trail ?? "");
    const former = this.#position;
    if (former === undefined) this.#requireBeginning(record);
    else this.#requireLink(record, former, trail);
    this.#lines += 1;
    this.#position = { trail, n: record.n, hash: sha256(bytes) };
    return record;
  }

  #parse(bytes: Buffer): AuditRecord {
    try {
      return parseRecord(bytes);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw this.#broken(error.message);
    }
  }

  /** The first record of all has nothing before it; that of a later file names what there was. */
  #requireBeginning({ prev, n, ...entry }: AuditRecord): void {
    const isLater = entry.type === "begin" && entry.former !== undefined;
    if (isLater !== n > 1 || isLater !== (prev !== NO_HASH)) {
      throw this.#broken("what it says of the file before it does not fit together");
    }
  }

  #requireLink({ prev, n }: AuditRecord, former: Position, trail: string): void {
    if (trail !== former.trail) throw this.#broken(`it is of another trail, ${trail}`);
    const isNext = n === former.n + 1;
    if (isNext && prev === former.hash) return;
    const before = this.#lines === 0 ? "the last line of the file before it" : `line ${this.#lines}`;
    if (isNext) {
      throw this.#broken(`it does not carry the hash of ${before}: one of the two was changed`);
    }
    throw this.#broken(
      n > former.n
        ? `it is record ${n}, and ${before} is record ${former.n}: what was between them is missing`
        : `it is record ${n}, and ${before} is record ${former.n}: they are out of order`,
    );
  }

  #broken(reason: string): BrokenRecordError {
    return new BrokenRecordError(this.#lines + 1, reason);
  }
}
