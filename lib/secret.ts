/** A value that no log line, error or JSON text can show: it prints as `[redacted]`, and `inspect` sees
 * nothing of it. */
export class Secret {
  /** Where it came from, for messages: the name of a setting. */
  readonly origin: string;
  readonly #value: string;

  constructor(value: string, origin: string) {
    this.#value = value;
    this.origin = origin;
  }

  /** The value itself. Call it where it is used, and keep the result in no variable that outlives the call. */
  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return "[redacted]";
  }

  toJSON(): string {
    return "[redacted]";
  }
}
