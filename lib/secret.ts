import { timingSafeEqual } from "node:crypto";

/** A value that no log line, error or JSON text can show: it prints as `[redacted]`, and `inspect` sees
 * nothing of it. */
export class Secret {
  /** Where it came from, for messages: the name of a setting. */
  readonly origin: string;
  /** The path of the file that it was read from, if it was. */
  readonly file: string | undefined;
  readonly #value: string;

  constructor(value: string, origin: string, file?: string) {
    this.#value = value;
    this.origin = origin;
    this.file = file;
  }

  /** The value itself. Call it where it is used, and keep the result in no variable that outlives the call. */
  reveal(): string {
    return this.#value;
  }

  /** Compares without telling by its duration where the two differ. */
  equals(other: Secret): boolean {
    const [own, theirs] = [Buffer.from(this.#value), Buffer.from(other.#value)];
    return own.length === theirs.length && timingSafeEqual(own, theirs);
  }

  toString(): string {
    return "[redacted]";
  }

  toJSON(): string {
    return "[redacted]";
  }
}
