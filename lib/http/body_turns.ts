/**
 * How much of large bodies is read in one turn of the event loop, over all requests together: it delays everybody else,
 * and the system would hand over some megabytes of each connection at once. To read takes some 0.1 ms for this, to
 * decode base64 as much again, to hash twice that where no thread does it; more in one turn makes nothing faster.
 */
const BYTES_PER_TURN = 256 * 1024;
/** A reader takes about so much before it can be stopped. */
const BYTES_PER_READER = 64 * 1024;
/** A chunk below this is no large body's. */
const SMALL_CHUNK = 16 * 1024;

/** Shares the event loop between large bodies: who has had his share waits for his turn, in order. */
export class BodyTurns {
  readonly #waiting: (() => void)[] = [];
  #left: number = BYTES_PER_TURN;
  #isScheduled = false;

  /**
   * Counts a chunk.
   *
   * @returns whether its reader has to wait, with `wait`, before he reads on
   */
  isShareUsedUp({ length }: Uint8Array): boolean {
    if (length < SMALL_CHUNK) return false;
    this.#left -= length;
    return this.#left <= 0;
  }

  /** @param resume is called when the reader's turn has come */
  wait(resume: () => void): void {
    this.#waiting.push(resume);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#left = BYTES_PER_TURN;
      for (const resume of this.#waiting.splice(0, BYTES_PER_TURN / BYTES_PER_READER)) resume();
      if (this.#waiting.length > 0) this.#schedule();
    });
  }
}
