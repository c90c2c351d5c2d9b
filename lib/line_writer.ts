import { writeSync } from "node:fs";

export interface LineWriterOptions {
  /** Where to write: a file, or a pipe or socket that does not block, as Node opens its standard output. */
  readonly descriptor: number;
  /** The line that stands where lines are missing, with its line feed. */
  lossLine(lines: number): string;
  /** What is kept for a reader that is slow, in characters. */
  readonly maxPending?: number;
}

const MAX_PENDING = 1024 ** 2;
/** What is written at once, in characters, rather than at the end of a turn of the event loop. */
const CHUNK = 32 * 1024;
/** Between two writes, in milliseconds, where there is less to write: under load a turn brings a few lines only. */
const GATHER_MS = 5;
/** A reader that is slow is asked again after so long, in milliseconds. */
const RETRY_MS = 10;
/** How long the end of the process may wait for a slow reader, in milliseconds. */
const END_MS = 1_000;
const LINE_FEED = 0x0a;
const NOTHING: Uint8Array = new Uint8Array(0);

/**
 * Writes lines to a descriptor, those of one turn of the event loop together, and under load those of some milliseconds:
 * a write is a system call, and costs more than all else that a line does.
 *
 * Nobody waits for the reader. What a slow one has not taken is kept up to a limit; beyond that, and where the
 * reader is gone, lines are dropped and counted, and a line in their place says how many, once somebody reads it.
 */
export class LineWriter {
  readonly #options: LineWriterOptions;
  readonly #maxPending: number;
  #lines: string[] = [];
  #length = 0;
  /** What the reader has not taken of the last write. */
  #rest: Uint8Array = NOTHING;
  #isScheduled = false;
  #lastFlush = Number.NEGATIVE_INFINITY;
  /** Since the last line that told of a loss. */
  #untold = 0;
  #lost = 0;
  /** Whether the last byte that was taken stands in the midst of a line whose rest was lost. */
  #isTorn = false;

  constructor(options: LineWriterOptions) {
    this.#options = options;
    this.#maxPending = options.maxPending ?? MAX_PENDING;
  }

  /** How many lines nobody will read. */
  get lost(): number {
    return this.#lost;
  }

  /** @param line with its line feed */
  write(line: string): void {
    const isFull = this.#length + this.#rest.length + line.length > this.#maxPending;
    // Once one is lost, so are those after it until the loss is told: it stands in its place then.
    if (isFull || this.#untold > 0) {
      this.#lose(1);
    } else {
      this.#lines.push(line);
      this.#length += line.length;
    }
    if (this.#isBlocked) return;
    if (this.#length >= CHUNK) this.flush();
    else this.#schedule();
  }

  /** Hands on what the reader takes now. */
  flush(): void {
    this.#lastFlush = performance.now();
    const bytes = Buffer.concat([this.#rest, Buffer.from(this.#lines.join(""))]);
    this.#lines = [];
    this.#length = 0;
    this.#rest = this.#write(bytes, (lost) => this.#lose(lineFeedsIn(lost)));
    if (!this.#isBlocked && this.#untold > 0) this.#tellLoss();
    if (this.#isBlocked) setTimeout(() => this.flush(), RETRY_MS).unref();
  }

  /** The last chance before the process ends: waits a while for a reader that is slow, and lets nothing else run. */
  end(): void {
    const deadline = performance.now() + END_MS;
    for (this.flush(); this.#isBlocked && performance.now() < deadline; this.flush()) {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
    }
  }

  get #isBlocked(): boolean {
    return this.#rest.length > 0;
  }

  #lose(lines: number): void {
    this.#untold += lines;
    this.#lost += lines;
  }

  #tellLoss(): void {
    const line = this.#options.lossLine(this.#untold);
    let isTold = true;
    this.#rest = this.#write(Buffer.from(this.#isTorn ? `\n${line}` : line), () => {
      isTold = false;
    });
    if (isTold) this.#untold = 0;
  }

  /**
   * @param lose told of what nobody will take: the reader is gone, or its disk full; there may be another one, or
   *   room, at the next line
   * @returns what is to be tried again
   */
  #write(bytes: Buffer, lose: (bytes: Uint8Array) => void): Uint8Array {
    let written = 0;
    try {
      while (written < bytes.length) written += writeSync(this.#options.descriptor, bytes, written);
    } catch (error) {
      const rest = bytes.subarray(written);
      if (error instanceof Error && "code" in error && error.code === "EAGAIN") return rest;
      this.#isTorn = written > 0 ? bytes[written - 1] !== LINE_FEED : this.#isTorn;
      lose(rest);
      return NOTHING;
    }
    if (written > 0) this.#isTorn = false;
    return NOTHING;
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    const flush = (): void => {
      this.#isScheduled = false;
      if (!this.#isBlocked) this.flush();
    };
    const restMs = this.#lastFlush + GATHER_MS - performance.now();
    if (restMs <= 0) setImmediate(flush);
    else setTimeout(flush, restMs);
  }
}

function lineFeedsIn(bytes: Uint8Array): number {
  return bytes.reduce((count, byte) => (byte === LINE_FEED ? count + 1 : count), 0);
}
