import { deferred } from "./deferred.ts";
import { SignerError } from "./errors.ts";
import { remove } from "./remove.ts";

export interface AdmissionOptions {
  /** Pieces of work that run at once. */
  readonly slots: number;
  /** Pieces of work that may wait, of all callers. */
  readonly maxWaiting: number;
  /** How long one waits at most, in milliseconds. */
  readonly maxWaitMs: number;
}

interface Waiter {
  readonly admit: () => void;
  readonly refuse: (error: SignerError) => void;
  readonly timer: NodeJS.Timeout;
}

interface Queue {
  readonly caller: string;
  readonly waiters: Waiter[];
}

/**
 * The queue before the token. Those who wait take turns by caller, one piece of work each, so that a caller with
 * one document is not behind all the documents of another. Where the queue is full, whoever has most in it gives
 * way.
 */
export class Admission {
  readonly #options: AdmissionOptions;
  #running = 0;
  #waiting = 0;
  /**
   * Those who wait, by caller; the first caller's turn is next. A caller of whom nobody waits is not in it. A list:
   * see `remove`.
   */
  readonly #queues: Queue[] = [];

  constructor(options: AdmissionOptions) {
    this.#options = options;
  }

  get state(): { readonly running: number; readonly waiting: number; readonly callers: number } {
    return { running: this.#running, waiting: this.#waiting, callers: this.#queues.length };
  }

  /**
   * Runs a piece of work when it is the caller's turn.
   *
   * @throws SignerError `ERR_TOKEN_BUSY` when too many wait or the turn does not come in time; and whatever `work`
   *   throws
   */
  async run<T>(caller: string, work: () => Promise<T>): Promise<T> {
    if (this.#running < this.#options.slots) this.#running += 1;
    else await this.#turn(caller);
    try {
      return await work();
    } finally {
      this.#running -= 1;
      this.#admitNext();
    }
  }

  #turn(caller: string): Promise<void> {
    if (this.#waiting >= this.#options.maxWaiting) this.#makeRoom(caller);
    const { promise, resolve, reject } = deferred<void>();
    const timer = setTimeout(() => {
      this.#remove(caller, waiter);
      reject(busy(`it was not its turn for ${this.#options.maxWaitMs} ms`));
    }, this.#options.maxWaitMs);
    const waiter: Waiter = { admit: resolve, refuse: reject, timer };
    const queue = this.#queueOf(caller);
    if (queue === undefined) this.#queues.push({ caller, waiters: [waiter] });
    else queue.waiters.push(waiter);
    this.#waiting += 1;
    return promise;
  }

  #admitNext(): void {
    const queue = this.#queues.shift();
    const waiter = queue?.waiters.shift();
    if (queue === undefined || waiter === undefined) return;
    // A caller's turn over, he goes to the end.
    if (queue.waiters.length > 0) this.#queues.push(queue);
    this.#waiting -= 1;
    this.#running += 1;
    clearTimeout(waiter.timer);
    waiter.admit();
  }

  /**
   * Takes away the last one of whoever has most in the queue.
   *
   * @throws SignerError when that is the caller himself
   */
  #makeRoom(caller: string): void {
    const own = this.#queueOf(caller)?.waiters.length ?? 0;
    let longest = this.#queues[0];
    for (const queue of this.#queues) {
      if (longest === undefined || queue.waiters.length > longest.waiters.length) longest = queue;
    }
    const last = longest?.waiters.at(-1);
    // One more of his own would make his as long.
    if (longest === undefined || last === undefined || longest.waiters.length <= own + 1) {
      throw busy(`${this.#waiting} others wait already`);
    }
    this.#remove(longest.caller, last);
    clearTimeout(last.timer);
    last.refuse(busy("others wait, and have less in the queue"));
  }

  #remove(caller: string, waiter: Waiter): void {
    const queue = this.#queueOf(caller);
    if (queue === undefined) return;
    remove(queue.waiters, waiter);
    this.#waiting -= 1;
    if (queue.waiters.length === 0) remove(this.#queues, queue);
  }

  #queueOf(caller: string): Queue | undefined {
    return this.#queues.find((queue) => queue.caller === caller);
  }
}

function busy(state: string): SignerError {
  return new SignerError("ERR_TOKEN_BUSY", `Cannot sign: ${state}`);
}
