import { type Config, parseConfig } from "./config/config.ts";
import type { CredentialConfig } from "./config/credentials.ts";
import type { ConfigSources, Environment } from "./config/settings.ts";
import { SignerError } from "./errors.ts";
import { EXIT, type ExitCode } from "./exit_codes.ts";

/** What a command has of the process that runs it. */
export interface CommandContext {
  readonly environment: Environment;
  readonly sources: ConfigSources;
  readonly now: () => Date;
  /** Takes the result, a line or several, without its last line feed. */
  print(text: string): void;
  /** Takes what is worth knowing while the command runs, and what is wrong: a sentence, for a person. */
  tell(text: string): void;
}

/** What may be said on the command line; a command knows those that it names. */
export interface CommandOptions {
  /** The path of `CONFIG_FILE`. */
  readonly config?: string;
  /** Whether the result is one JSON document, for a script. */
  readonly json?: boolean;
  /** One of `HSM_KEY_LABEL`, or another label with what that setting may say of it. */
  readonly keyLabel?: string;
  readonly algorithm?: string;
  readonly subject?: string;
  readonly days?: string;
  readonly extendedKeyUsage?: readonly string[];
  readonly subjectAltName?: readonly string[];
  readonly out?: string;
  /** Files with certificates: of those who sign, and of those who certify them. */
  readonly certificate?: string;
  readonly ca?: string;
  /** Hash of a record that has to be there. */
  readonly expect?: string;
  readonly name?: string;
  readonly credential?: readonly string[];
  readonly expiresIn?: string;
  readonly expires?: string;
}

/** One command of the command line. */
export interface Command {
  readonly name: string;
  /** Half a sentence. */
  readonly summary: string;
  /** More about it, and examples. */
  readonly description?: string;
  /** What stands after its name, and what that is; with three dots behind the name, there may be several. */
  readonly argument?: readonly [name: string, description: string];
  /** Besides those that every command has: flags as in `--key-label <label>`, and what they are for. */
  readonly options: readonly (readonly [flags: string, description: string])[];
  /**
   * @param further arguments, where there may be several
   * @returns the exit code; `undefined` when the process goes on
   * @throws Error whose sentences are shown to whoever gave the command
   */
  run(
    context: CommandContext,
    options: CommandOptions,
    argument: string,
    further: readonly string[],
  ): Promise<ExitCode | undefined>;
}

/** @throws ConfigError */
export function readConfig(
  { environment, sources }: CommandContext,
  { config }: CommandOptions,
  overrides: Environment = {},
): Config {
  return parseConfig(
    { ...environment, ...(config === undefined ? {} : { CONFIG_FILE: config }) },
    sources,
    overrides,
  );
}

/**
 * The configuration, and the credential that a command is about: the default one, or the one with the label that
 * was given, which need not be configured.
 */
export function readCredentialConfig(
  context: CommandContext,
  options: CommandOptions,
  overrides: Environment = {},
): { readonly config: Config; readonly credential: CredentialConfig } {
  const { keyLabel } = options;
  const config = readConfig(context, options, overrides);
  const [standard] = config.credentials;
  const known =
    keyLabel === undefined ? standard : config.credentials.find(({ label }) => label === keyLabel);
  if (known !== undefined) return { config, credential: known };
  const other = readConfig(context, options, { ...overrides, HSM_KEY_LABEL: keyLabel });
  return { config: other, credential: other.credentials[0] };
}

/** The exit code for what ended a command or a start. */
export function exitCodeOf(error: unknown): ExitCode {
  if (!(error instanceof SignerError)) return EXIT.failed;
  if (error.code === "ERR_CONFIGURATION") return EXIT.usage;
  return error.code === "ERR_PIN_REJECTED" ? EXIT.pinRefused : EXIT.failed;
}
