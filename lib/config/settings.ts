import { SignerError } from "../errors.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

/** What the configuration needs of the machine; handed in, so that tests need no files. */
export interface ConfigSources {
  fileExists(path: string): boolean;
  /** @throws Error with the reason when the file cannot be read */
  readFile(path: string): string;
  /** Says what is wrong with a distinguished name (RFC 4514), or `undefined` if nothing is. */
  distinguishedNameFault(name: string): string | undefined;
}

/** Every mistake of the configuration at once, one sentence each, each with the name of its setting. */
export class ConfigError extends SignerError {
  readonly mistakes: readonly string[];

  constructor(mistakes: readonly string[]) {
    super("ERR_CONFIGURATION", `Cannot use the configuration: ${mistakes.join(" ")}`);
    this.name = "ConfigError";
    this.mistakes = mistakes;
  }
}

/** The settings as texts, read one by one, and the mistakes found on the way. An empty value counts as none. */
export class Settings {
  readonly #values: Environment;
  readonly #mistakes: string[] = [];

  constructor(values: Environment) {
    this.#values = values;
  }

  text(name: string): string | undefined {
    return this.#values[name] || undefined;
  }

  mistake(sentence: string): void {
    this.#mistakes.push(sentence);
  }

  oneOf<T extends string>(name: string, values: readonly T[], fallback: T): T {
    const text = this.text(name);
    if (text === undefined) return fallback;
    const value = values.find((candidate) => candidate === text);
    if (value === undefined) this.mistake(`${name} must be one of ${values.join(", ")}, not "${text}".`);
    return value ?? fallback;
  }

  flag(name: string): boolean {
    return this.oneOf(name, ["true", "false"], "false") === "true";
  }

  /** Words separated by commas or spaces. */
  list(name: string): readonly string[] {
    const words = (this.text(name) ?? "").split(/[\s,]+/).filter((word) => word !== "");
    return Object.freeze(words);
  }

  integer(name: string, fallback: number, minimum: number, maximum: number): number {
    const text = this.text(name);
    if (text === undefined) return fallback;
    const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= minimum && value <= maximum) return value;
    this.mistake(`${name} must be a whole number from ${minimum} to ${maximum}, not "${text}".`);
    return fallback;
  }

  throwMistakes(): void {
    if (this.#mistakes.length > 0) throw new ConfigError(this.#mistakes);
  }
}
