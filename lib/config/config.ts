import { messageOf } from "../errors.ts";
import { LOG_LEVELS, type LogLevel } from "../log.ts";
import type { Secret } from "../secret.ts";
import { AUDIT_SETTINGS, type AuditConfig, readAudit } from "./audit.ts";
import {
  AUTHENTICATION_SETTINGS,
  type AuthenticationConfig,
  isAuthenticating,
  readAuthentication,
} from "./authentication.ts";
import { type CredentialConfig, readCredentials } from "./credentials.ts";
import { LIMIT_SETTINGS, type LimitsConfig, readLimits } from "./limits.ts";
import { readHost, readOrigins, readTrustedProxies } from "./listener.ts";
import { METRICS_SETTINGS, type MetricsConfig, readMetrics } from "./metrics.ts";
import { PIN_VARIABLES, readPin } from "./pin.ts";
import { type ConfigSources, type Environment, Settings } from "./settings.ts";
import { parseSettingsFile } from "./settings_file.ts";
import { readTls, TLS_SETTINGS, type TlsConfig } from "./tls.ts";

/** What the service was told, parsed once, frozen. */
export interface Config {
  readonly token: {
    readonly modulePath: string;
    readonly pin: Secret;
    readonly label: string | undefined;
    readonly sessions: number;
  };
  /** The first is the one that signs where nobody asks for another. */
  readonly credentials: readonly [CredentialConfig, ...CredentialConfig[]];
  /** Whether `/` is the demo page. */
  readonly demoPage: boolean;
  /** Whether a key pair and a certificate that are missing may be made. */
  readonly autoProvision: boolean;
  readonly certificate: {
    readonly directory: string;
    readonly subject: string;
    readonly days: number;
  };
  readonly http: {
    readonly host: string;
    readonly port: number;
    /** Whether other machines may reach it: callers are authenticated, or the risk was accepted. */
    readonly acceptsNetwork: boolean;
    readonly corsOrigins: readonly string[];
    readonly maxBodyBytes: number;
    readonly tls: TlsConfig | undefined;
    /** IP addresses and networks. */
    readonly trustedProxies: readonly string[];
  };
  /** `undefined` where no trail of signatures is wanted. */
  readonly audit: AuditConfig | undefined;
  readonly metrics: MetricsConfig;
  readonly logLevel: LogLevel;
  readonly authentication: AuthenticationConfig;
  readonly limits: LimitsConfig;
}

export const CLOUDHSM_MODULE = "/opt/cloudhsm/lib/libcloudhsm_pkcs11.so";

/** Those that a settings file may hold. A PIN in it would be as readable as the rest. */
const FILE_SETTINGS: readonly string[] = [
  "HSM_MODULE",
  "HSM_PIN_FILE",
  "HSM_TOKEN_LABEL",
  "HSM_KEY_LABEL",
  "HSM_KEY_ALGORITHM",
  "HSM_AUTO_PROVISION",
  "HSM_SESSIONS",
  "SIGNATURE_SCHEME",
  "DIGEST",
  "CERT_DIR",
  "CERT_SUBJECT",
  "CERT_DAYS",
  "HOST",
  "PORT",
  "ALLOW_UNAUTHENTICATED_NETWORK",
  "CORS_ORIGINS",
  "MAX_BODY_BYTES",
  "DEMO_PAGE",
  ...AUDIT_SETTINGS,
  ...METRICS_SETTINGS,
  "LOG_LEVEL",
  ...AUTHENTICATION_SETTINGS,
  ...TLS_SETTINGS,
  "TRUSTED_PROXIES",
  ...LIMIT_SETTINGS,
];
/** Good enough for a certificate of one's own, and not to ask a CA for. */
export const STANDARD_SUBJECT = "CN=Self-signed document signing certificate (hsm-signer)";

/** What begins so is ours, and a name that is nobody's is a slip: a limit or a rule would be lost without a word. */
const OWN_PREFIXES: readonly string[] = ["HSM_", "AUTH_", "LIMIT_"];

/** CloudHSM allows a process 1,024 sessions; one of them is the service's own. */
const MAX_SESSIONS = 1023;
const GIB = 1024 ** 3;

/**
 * Reads the settings of README.md, "Configuration", from the environment and, where `CONFIG_FILE` names one,
 * a file.
 *
 * @param overrides stand before both: the options of a command
 * @throws ConfigError that lists every mistake, unknown names that begin like ours included
 */
export function parseConfig(
  environment: Environment,
  sources: ConfigSources,
  overrides: Environment = {},
): Config {
  const settings = readSettings(environment, sources, overrides);
  const modulePath = readModulePath(settings, sources);
  const acceptsNetwork = isAuthenticating(settings) || settings.flag("ALLOW_UNAUTHENTICATED_NETWORK");
  const config: Config = {
    token: Object.freeze({
      modulePath,
      pin: readPin(settings, sources, modulePath),
      label: settings.text("HSM_TOKEN_LABEL"),
      sessions: settings.integer("HSM_SESSIONS", 16, 1, MAX_SESSIONS),
    }),
    credentials: readCredentials(settings),
    demoPage: settings.flag("DEMO_PAGE"),
    autoProvision: settings.flag("HSM_AUTO_PROVISION"),
    certificate: Object.freeze({
      directory: settings.text("CERT_DIR") ?? "certs",
      subject: readSubject(settings, sources),
      days: settings.integer("CERT_DAYS", 730, 1, 3650),
    }),
    http: Object.freeze({
      host: readHost(settings, acceptsNetwork),
      port: settings.integer("PORT", 3756, 0, 65535),
      acceptsNetwork,
      corsOrigins: readOrigins(settings),
      maxBodyBytes: settings.integer("MAX_BODY_BYTES", GIB, 1, Number.MAX_SAFE_INTEGER),
      tls: readTls(settings),
      trustedProxies: readTrustedProxies(settings),
    }),
    audit: readAudit(settings),
    metrics: readMetrics(settings),
    logLevel: settings.oneOf("LOG_LEVEL", LOG_LEVELS, "info"),
    authentication: readAuthentication(settings, sources),
    limits: readLimits(settings),
  };
  settings.throwMistakes();
  return Object.freeze(config);
}

/**
 * The settings as they stand in the environment and in the file that `CONFIG_FILE` names, before anything is made
 * of them. The mistakes of the file are kept for `throwMistakes`, and so are names that are nobody's.
 */
export function readSettings(
  environment: Environment,
  sources: ConfigSources,
  overrides: Environment = {},
): Settings {
  const file = readFile(environment, sources);
  const settings = new Settings({ ...environment, ...file.values, ...overrides });
  for (const mistake of file.mistakes) settings.mistake(mistake);
  for (const name of Object.keys(environment)) {
    const prefix = OWN_PREFIXES.find((candidate) => name.startsWith(candidate));
    const known = [...FILE_SETTINGS, ...PIN_VARIABLES].filter((own) => prefix && own.startsWith(prefix));
    if (prefix !== undefined && !known.includes(name)) {
      settings.mistake(`${name} is not a setting; the ${prefix}* settings are ${known.join(", ")}.`);
    }
  }
  return settings;
}

interface FileSettings {
  readonly values: Environment;
  readonly mistakes: readonly string[];
}

/** A setting in two places is a mistake: after a change in the one, the other would still hold. */
function readFile(environment: Environment, sources: ConfigSources): FileSettings {
  const path = environment["CONFIG_FILE"] || undefined;
  if (path === undefined) return { values: {}, mistakes: [] };
  let text: string;
  try {
    text = sources.readFile(path);
  } catch (error) {
    return { values: {}, mistakes: [`CONFIG_FILE cannot be read: ${messageOf(error)}.`] };
  }
  const { values, mistakes } = parseSettingsFile(text, path);
  const further = Object.keys(values).flatMap((name) => {
    if (PIN_VARIABLES.includes(name)) {
      return [`${name} does not belong into ${path}: name a file of its own with HSM_PIN_FILE.`];
    }
    if (!FILE_SETTINGS.includes(name)) {
      return [`${name} in ${path} is not a setting that it may hold; those are ${FILE_SETTINGS.join(", ")}.`];
    }
    return environment[name] ? [`${name} is set in the environment and in ${path}; keep one of them.`] : [];
  });
  return { values, mistakes: [...mistakes, ...further] };
}

function readModulePath(settings: Settings, sources: ConfigSources): string {
  const path = settings.text("HSM_MODULE");
  if (path === undefined) {
    if (sources.fileExists(CLOUDHSM_MODULE)) return CLOUDHSM_MODULE;
    settings.mistake(
      `HSM_MODULE must name the PKCS#11 library: it is not set, and ${CLOUDHSM_MODULE} does not exist.`,
    );
  } else if (!sources.fileExists(path)) {
    settings.mistake(`HSM_MODULE names "${path}", which does not exist.`);
  }
  return path ?? "";
}

function readSubject(settings: Settings, sources: ConfigSources): string {
  const subject = settings.text("CERT_SUBJECT");
  if (subject === undefined) return STANDARD_SUBJECT;
  const fault = sources.distinguishedNameFault(subject);
  if (fault !== undefined) {
    settings.mistake(
      `CERT_SUBJECT must be a distinguished name such as "CN=Example Ltd, O=Example Ltd, C=DE": ${fault}.`,
    );
  }
  return subject;
}
