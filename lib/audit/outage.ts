import type { Entry, GapEntry } from "./record.ts";

/** A time in which nothing can be written, and what it has cost so far. */
export class Outage {
  readonly since: Date;
  readonly reason: string;
  #unrecorded = 0;
  #withheld = 0;

  constructor(since: Date, reason: string) {
    this.since = since;
    this.reason = reason;
  }

  /** Counts a record that is not written. @param goesOn whether its signature is answered all the same */
  miss(entry: Entry, goesOn: boolean): void {
    if (entry.type === "gap") {
      this.#unrecorded += entry.unrecorded;
      this.#withheld += entry.withheld;
    } else if (entry.type === "signature") {
      if (goesOn) this.#unrecorded += 1;
      else this.#withheld += 1;
    }
  }

  /** The record that tells of it. */
  entry(): GapEntry {
    const { since, reason } = this;
    const [unrecorded, withheld] = [this.#unrecorded, this.#withheld];
    return { type: "gap", since: since.toISOString(), reason, unrecorded, withheld };
  }

  /** A further record, of what was missed since the first one was made; `undefined` if nothing was. */
  entryAfter(first: GapEntry): GapEntry | undefined {
    const all = this.entry();
    const [unrecorded, withheld] = [all.unrecorded - first.unrecorded, all.withheld - first.withheld];
    return unrecorded + withheld === 0 ? undefined : { ...all, unrecorded, withheld };
  }
}
