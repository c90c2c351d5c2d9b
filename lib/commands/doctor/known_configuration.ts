import { type CommandContext, type CommandOptions, readConfig, readCredentialConfig } from "../../command.ts";
import type { Config } from "../../config/config.ts";
import type { CredentialConfig } from "../../config/credentials.ts";
import { ConfigError } from "../../config/settings.ts";
import type { Secret } from "../../secret.ts";

/** What of a configuration says who may sign. */
export type AccessConfig = Pick<Config, "authentication" | "credentials" | "http">;

/** What the configuration says, as far as it can be relied on. */
export interface KnownConfiguration {
  readonly mistakes: readonly string[];
  readonly modulePath?: string | undefined;
  /** Of the token; `undefined` too where it is the only one. */
  readonly tokenLabel?: string | undefined;
  readonly pin?: Secret | undefined;
  readonly sessions?: number | undefined;
  readonly credentials?: readonly CredentialConfig[] | undefined;
  readonly certificateDirectory?: string | undefined;
  /** Who may sign. */
  readonly access?: AccessConfig | undefined;
}

/** Where the PIN comes from. */
const PIN_SETTINGS: readonly string[] = ["HSM_PIN_FILE", "CREDENTIALS_DIRECTORY", "HSM_PIN", "PIN"];
const CREDENTIAL_SETTINGS: readonly string[] = [
  "HSM_KEY_LABEL",
  "HSM_KEY_ALGORITHM",
  "SIGNATURE_SCHEME",
  "DIGEST",
];
const ACCESS_SETTING = /^(AUTH_|TLS_|HSM_KEY_LABEL$|HOST$|ALLOW_UNAUTHENTICATED_NETWORK$|TRUSTED_PROXIES$)/;
/** Lets the rest of the settings be read where the PIN is wrong; it is never used. */
const NO_PIN = { HSM_PIN_FILE: "", CREDENTIALS_DIRECTORY: "", HSM_PIN: "nobody:nothing" };

/** Reads the configuration; where it has mistakes, what is said beside them. */
export function knownConfiguration(context: CommandContext, options: CommandOptions): KnownConfiguration {
  try {
    return { mistakes: [], ...partsOf(readFor(context, options)) };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { mistakes: error.mistakes, ...partsBeside(error.mistakes, context, options) };
  }
}

type Parts = Omit<KnownConfiguration, "mistakes">;

/** The configuration, with the one credential that was asked for, if one was. */
function readFor(context: CommandContext, options: CommandOptions, overrides = {}): Config {
  if (options.keyLabel === undefined) return readConfig(context, options, overrides);
  const { config, credential } = readCredentialConfig(context, options, overrides);
  return { ...config, credentials: [credential] };
}

function partsOf({ token, credentials, certificate, authentication, http }: Config): Required<Parts> {
  return {
    modulePath: token.modulePath,
    tokenLabel: token.label,
    pin: token.pin,
    sessions: token.sessions,
    credentials,
    certificateDirectory: certificate.directory,
    access: { authentication, credentials, http },
  };
}

/** Reads the settings again without those that are wrong, which are unknown then. */
function partsBeside(mistakes: readonly string[], context: CommandContext, options: CommandOptions): Parts {
  const wrong = mistakes.map(settingOf);
  const isWrong = (...names: readonly string[]): boolean => names.some((name) => wrong.includes(name));
  const blank = Object.fromEntries(wrong.map((name) => [name, ""]));
  const environment = Object.fromEntries(
    Object.entries(context.environment).filter(([name]) => !wrong.includes(name)),
  );
  const overrides = {
    ...blank,
    // Something that exists.
    ...(isWrong("HSM_MODULE") ? { HSM_MODULE: "/" } : {}),
    ...(isWrong(...PIN_SETTINGS) ? NO_PIN : {}),
  };
  const { keyLabel, ...others } = options;
  const wanted = isWrong(...CREDENTIAL_SETTINGS) ? others : options;
  try {
    const parts = partsOf(readFor({ ...context, environment }, wanted, overrides));
    return {
      ...parts,
      modulePath: isWrong("HSM_MODULE") ? undefined : parts.modulePath,
      pin: isWrong(...PIN_SETTINGS) ? undefined : parts.pin,
      sessions: isWrong("HSM_SESSIONS") ? undefined : parts.sessions,
      credentials: isWrong(...CREDENTIAL_SETTINGS) ? undefined : parts.credentials,
      access: wrong.some((name) => ACCESS_SETTING.test(name)) ? undefined : parts.access,
    };
  } catch (error) {
    // A settings file that cannot be read through: what it says beside its mistakes may be anything.
    if (!(error instanceof ConfigError)) throw error;
    return {};
  }
}

/** The setting that a mistake is about: its sentence begins with the name. */
function settingOf(mistake: string): string {
  if (mistake.startsWith("The systemd credential")) return "CREDENTIALS_DIRECTORY";
  return /^[A-Z][A-Z0-9_]*\b/.exec(mistake)?.[0] ?? "";
}
