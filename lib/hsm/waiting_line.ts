import { SignerError } from "../errors.ts";
import { remove } from "../remove.ts";

/** An operation that waits where sessions pass from one operation to the next without the pool. */
export interface StandBy<T> {
  /** What it is called by when a session has passed to it; no two that wait have the same. */
  readonly ticket: number;
  /** Settles when no call on the session is under way any more; never, where it was withdrawn. */
  readonly result: Promise<T>;
  /** Whether it waited still, and waits no more: otherwise a session has passed to it. */
  withdraw(): boolean;
}

/** Who waits for a session. */
export interface Waiter<S> {
  /** Runs his operation in a session that was lent to him. */
  begin(session: S): void;
  /** Has his operation stand by, if it can: how to withdraw it, and how to follow it in the session that it got. */
  readonly standBy: (() => Place<S>) | undefined;
  refuse(error: unknown): void;
}

/** Where a waiter stands by. */
export interface Place<S> {
  readonly ticket: number;
  withdraw(): boolean;
  follow(session: S): void;
}

interface Entry<S> {
  readonly waiter: Waiter<S>;
  readonly timer: NodeJS.Timeout;
  place: Place<S> | undefined;
}

/**
 * Those who wait for a session, the oldest first.
 *
 * Whoever can, stands by, if nobody waits before him who cannot: so a session that passes from one operation to the
 * next passes to whoever has waited longest.
 */
export class WaitingLine<S> {
  readonly #timeoutMs: number;
  /** Those who stand by, in the order in which they came: a list (see `remove`). Heirs are among the first. */
  readonly #standing: Entry<S>[] = [];
  /** Those behind them: the first of these cannot stand by. */
  readonly #others: Entry<S>[] = [];
  /** Those who could not be withdrawn, by ticket: they have a session, and the word of it is on its way. */
  readonly #served = new Map<number, Entry<S>>();

  /** @param timeoutMs how long one waits, in milliseconds, until he is refused with `ERR_TOKEN_BUSY` */
  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
  }

  get length(): number {
    return this.#standing.length + this.#others.length;
  }

  add(waiter: Waiter<S>): void {
    const timer = setTimeout(() => {
      this.#leave(entry);
      this.#refuse(entry, new SignerError("ERR_TOKEN_BUSY", `Cannot get a session: all are in use`));
      this.#lineUp();
    }, this.#timeoutMs);
    const entry: Entry<S> = { waiter, timer, place: undefined };
    this.#others.push(entry);
    this.#lineUp();
  }

  /** The first one, for whom there is a session now; `undefined` where everybody has one already. */
  shift(): Waiter<S> | undefined {
    for (;;) {
      const first = this.#standing[0] ?? this.#others[0];
      if (first === undefined) return undefined;
      this.#leave(first);
      const isFree = this.#withdraw(first);
      this.#lineUp();
      if (isFree) return first.waiter;
    }
  }

  /**
   * The one to whom a session has passed: he waits no more.
   *
   * @throws RangeError when nobody has this ticket
   */
  heir(ticket: number): Place<S> {
    const index = this.#standing.findIndex(({ place }) => place?.ticket === ticket);
    const entry = index === -1 ? this.#served.get(ticket) : this.#standing.splice(index, 1)[0];
    if (index === -1) this.#served.delete(ticket);
    if (entry?.place === undefined) throw new RangeError(`Cannot hand a session over: nobody has ${ticket}`);
    clearTimeout(entry.timer);
    return entry.place;
  }

  refuseAll(error: unknown): void {
    const all = [...this.#standing.splice(0), ...this.#others.splice(0)];
    for (const entry of all) this.#refuse(entry, error);
  }

  #leave(entry: Entry<S>): void {
    remove(entry.place === undefined ? this.#others : this.#standing, entry);
  }

  /** Refuses one who has left, unless a session has passed to him meanwhile. */
  #refuse(entry: Entry<S>, error: unknown): void {
    if (this.#withdraw(entry)) entry.waiter.refuse(error);
  }

  /** Whether one who has left has no session. */
  #withdraw(entry: Entry<S>): boolean {
    const { place, timer } = entry;
    clearTimeout(timer);
    if (place === undefined || place.withdraw()) return true;
    this.#served.set(place.ticket, entry);
    return false;
  }

  /** Whoever can stands by, up to the first who cannot. */
  #lineUp(): void {
    for (;;) {
      const [first] = this.#others;
      if (first?.waiter.standBy === undefined) return;
      this.#others.shift();
      this.#stand(first, first.waiter.standBy);
    }
  }

  #stand(entry: Entry<S>, standBy: () => Place<S>): void {
    try {
      entry.place = standBy();
      this.#standing.push(entry);
    } catch (error) {
      this.#refuse(entry, error);
    }
  }
}
