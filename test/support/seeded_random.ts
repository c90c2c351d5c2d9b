/** Chance that comes out the same in every run (mulberry32). */
export class SeededRandom {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** From 0 to 1, without 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let value = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A whole number from 0 to `end`, without `end`. */
  below(end: number): number {
    return Math.floor(this.next() * end);
  }

  isLucky(chance: number): boolean {
    return this.next() < chance;
  }

  pick<T>(values: readonly [T, ...T[]]): T {
    return values[this.below(values.length)] ?? values[0];
  }

  bytes(length: number): Buffer {
    return Buffer.from(Array.from({ length }, () => this.below(256)));
  }

  shuffled<T>(values: readonly T[]): T[] {
    return values
      .map((value) => ({ value, key: this.next() }))
      .sort((a, b) => a.key - b.key)
      .map(({ value }) => value);
  }

  /** The bytes in pieces, some of them empty or of one byte. */
  pieces(bytes: Buffer): Buffer[] {
    const pieces: Buffer[] = [];
    const longest = this.pick([1, 3, 16, 200]);
    for (let start = 0; start < bytes.length; ) {
      const end = start + this.below(longest + 1);
      pieces.push(bytes.subarray(start, end));
      start = end;
    }
    return pieces;
  }

  /** The bytes with one to four changes: replaced, removed, doubled, swapped, put in, cut off. */
  mutated(bytes: Buffer, insertions: readonly [string, ...string[]]): Buffer {
    let result = bytes;
    for (let changes = 1 + this.below(4); changes > 0; changes -= 1) {
      const at = this.below(result.length + 1);
      const until = at + this.below(this.pick([2, 8, 40]));
      const [before, middle, after] = [
        result.subarray(0, at),
        result.subarray(at, until),
        result.subarray(until),
      ];
      result = this.pick<() => Buffer>([
        () => Buffer.concat([before, this.bytes(middle.length), after]),
        () => Buffer.concat([before, after]),
        () => Buffer.concat([before, middle, middle, after]),
        () => Buffer.concat([before, Buffer.from(this.pick(insertions)), middle, after]),
        () => Buffer.concat([before, Buffer.from(this.pick(insertions)), after]),
        () => Buffer.concat([before, after, middle]),
        () => (this.isLucky(0.3) ? before : result),
      ])();
    }
    return result;
  }
}
