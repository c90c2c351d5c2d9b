import { Worker } from "node:worker_threads";

interface Expectation {
  readonly limitMs: number;
  /** For standard output, when nothing was heard for so long. */
  readonly lastWords: string;
}

/**
 * Ends the process when a call does not return from the library. Most calls block the JavaScript thread while they
 * last, so it is another thread that waits; and since a thread that hangs inside a library cannot be ended, nor
 * `process.exit` get past it, the end is SIGKILL, after the last words.
 */
export class Watch {
  readonly #worker: Worker;
  #expectation: Expectation | undefined;

  constructor() {
    // Without the loader of this process, which cannot start in a worker while this thread is blocked.
    this.#worker = new Worker(new URL("./watch_thread.js", import.meta.url), { execArgv: [] });
    this.#worker.unref();
  }

  /** Something has to be heard within so many milliseconds: another expectation, progress, or the end. */
  expect(expectation: Expectation): void {
    this.#expectation = expectation;
    this.#worker.postMessage(expectation);
  }

  /** The time begins anew. */
  progress(): void {
    if (this.#expectation !== undefined) this.#worker.postMessage(this.#expectation);
  }

  end(): void {
    this.#expectation = undefined;
    this.#worker.postMessage({});
  }
}
