import { BlockList, isIP } from "node:net";
import {
  HASH_NAMES,
  type HashName,
  KEY_ALGORITHM_NAMES,
  type KeyAlgorithmName,
  keyAlgorithm,
  type SignatureAlgorithm,
  signatureAlgorithm,
} from "./algorithms.ts";
import { messageOf, SignerError } from "./errors.ts";
import { Secret } from "./secret.ts";

/** What the service was told, parsed once, frozen. */
export interface Config {
  readonly token: {
    readonly modulePath: string;
    readonly pin: Secret;
    readonly label: string | undefined;
    readonly sessions: number;
  };
  readonly key: {
    readonly label: string;
    readonly autoProvision: boolean;
  };
  readonly signature: SignatureAlgorithm;
  readonly certificate: {
    readonly directory: string;
    readonly subject: string;
    readonly days: number;
  };
  readonly http: {
    readonly host: string;
    readonly port: number;
    readonly corsOrigins: readonly string[];
    readonly maxBodyBytes: number;
  };
}

/** What the configuration needs of the machine; handed in, so that tests need no files. */
export interface ConfigSources {
  fileExists(path: string): boolean;
  /** @throws Error with the reason when the file cannot be read */
  readFile(path: string): string;
  /** Says what is wrong with a distinguished name (RFC 4514), or `undefined` if nothing is. */
  distinguishedNameFault(name: string): string | undefined;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** Every mistake of the configuration at once, one sentence each, each with the name of its setting. */
export class ConfigError extends SignerError {
  readonly mistakes: readonly string[];

  constructor(mistakes: readonly string[]) {
    super("ERR_CONFIGURATION", `Cannot use the configuration: ${mistakes.join(" ")}`);
    this.name = "ConfigError";
    this.mistakes = mistakes;
  }
}

export const CLOUDHSM_MODULE = "/opt/cloudhsm/lib/libcloudhsm_pkcs11.so";

/** The environment variables that carry the PIN itself; whoever starts the service removes them after reading. */
export const PIN_VARIABLES: readonly string[] = ["HSM_PIN", "PIN"];

const HSM_SETTINGS = [
  "HSM_MODULE",
  "HSM_PIN_FILE",
  "HSM_PIN",
  "HSM_TOKEN_LABEL",
  "HSM_KEY_LABEL",
  "HSM_KEY_ALGORITHM",
  "HSM_AUTO_PROVISION",
  "HSM_SESSIONS",
];

/** CloudHSM allows a process 1,024 sessions; one of them is the service's own. */
const MAX_SESSIONS = 1023;
const GIB = 1024 ** 3;

/**
 * Reads the settings of README.md, "Configuration". An empty value counts as none.
 *
 * @throws ConfigError that lists every mistake, unknown `HSM_*` names included
 */
export function parseConfig(environment: Environment, sources: ConfigSources): Config {
  const settings = new Settings(environment);
  for (const name of Object.keys(environment)) {
    if (name.startsWith("HSM_") && !HSM_SETTINGS.includes(name)) {
      settings.mistake(`${name} is not a setting; the HSM_* settings are ${HSM_SETTINGS.join(", ")}.`);
    }
  }
  const modulePath = readModulePath(settings, sources);
  const config: Config = {
    token: Object.freeze({
      modulePath,
      pin: readPin(settings, sources, modulePath),
      label: settings.text("HSM_TOKEN_LABEL"),
      sessions: settings.integer("HSM_SESSIONS", 16, 1, MAX_SESSIONS),
    }),
    key: Object.freeze({
      label: readKeyLabel(settings),
      autoProvision: settings.flag("HSM_AUTO_PROVISION"),
    }),
    signature: readSignature(settings),
    certificate: Object.freeze({
      directory: settings.text("CERT_DIR") ?? "certs",
      subject: readSubject(settings, sources),
      days: settings.integer("CERT_DAYS", 730, 1, 3650),
    }),
    http: Object.freeze({
      host: readHost(settings),
      port: settings.integer("PORT", 3756, 0, 65535),
      corsOrigins: readOrigins(settings),
      maxBodyBytes: settings.integer("MAX_BODY_BYTES", GIB, 1, Number.MAX_SAFE_INTEGER),
    }),
  };
  settings.throwMistakes();
  return Object.freeze(config);
}

/** The environment, read setting by setting, and the mistakes found on the way. */
class Settings {
  readonly #environment: Environment;
  readonly #mistakes: string[] = [];

  constructor(environment: Environment) {
    this.#environment = environment;
  }

  text(name: string): string | undefined {
    return this.#environment[name] || undefined;
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

function readPin(settings: Settings, sources: ConfigSources, modulePath: string): Secret {
  const found = findPin(settings, sources);
  if (found === undefined) return new Secret("", "nowhere");
  const { pin, origin } = found;
  if (pin === "") settings.mistake(`${origin} holds no PIN.`);
  else if (/libcloudhsm_pkcs11/.test(modulePath) && !/^[^:]+:./.test(pin)) {
    // A PIN that CloudHSM can only refuse is not tried: refused logins lock the user.
    settings.mistake(`${origin} must hold <crypto user>:<password> for CloudHSM; it has no user part.`);
  }
  return new Secret(pin, origin);
}

function findPin(settings: Settings, sources: ConfigSources): { pin: string; origin: string } | undefined {
  const fromFile = (path: string, origin: string): { pin: string; origin: string } | undefined => {
    try {
      return { pin: sources.readFile(path).replace(/\r?\n$/, ""), origin };
    } catch (error) {
      // Without the path: where somebody wrote the PIN itself instead, it would show here.
      settings.mistake(
        `${origin} cannot be read: ${messageOf(error).replaceAll(path, "…")} (from the working directory, where it is relative).`,
      );
      return undefined;
    }
  };
  const file = settings.text("HSM_PIN_FILE");
  if (file !== undefined) return fromFile(file, "HSM_PIN_FILE");
  const credentials = settings.text("CREDENTIALS_DIRECTORY");
  if (credentials !== undefined && sources.fileExists(`${credentials}/hsm-pin`)) {
    return fromFile(`${credentials}/hsm-pin`, 'The systemd credential "hsm-pin"');
  }
  for (const name of PIN_VARIABLES) {
    const pin = settings.text(name);
    if (pin !== undefined) return { pin, origin: name };
  }
  settings.mistake(
    'HSM_PIN_FILE must name the file with the PIN (or give the systemd credential "hsm-pin", or HSM_PIN).',
  );
  return undefined;
}

function readKeyLabel(settings: Settings): string {
  const label = settings.text("HSM_KEY_LABEL") ?? "hsm-signer";
  // The label names the chain's file too.
  if (!/^[\w.@+ -]{1,100}$/.test(label) || label.startsWith(".")) {
    settings.mistake(
      `HSM_KEY_LABEL must be 1 to 100 letters, digits, spaces or any of ". _ - @ +", and not begin with a dot; it is "${label}".`,
    );
  }
  return label;
}

function readSignature(settings: Settings): SignatureAlgorithm {
  const key = settings.oneOf<KeyAlgorithmName>("HSM_KEY_ALGORITHM", KEY_ALGORITHM_NAMES, "RSA-2048");
  const hash = settings.oneOf<HashName>("DIGEST", HASH_NAMES, "SHA-256");
  const scheme = settings.oneOf<"PKCS1" | "PSS">("SIGNATURE_SCHEME", ["PKCS1", "PSS"], "PKCS1");
  if (keyAlgorithm(key).kind === "EC" && settings.text("SIGNATURE_SCHEME") !== undefined) {
    settings.mistake(`SIGNATURE_SCHEME is for RSA; HSM_KEY_ALGORITHM is ${key}, which signs with ECDSA.`);
  }
  return signatureAlgorithm(key, hash, scheme);
}

function readSubject(settings: Settings, sources: ConfigSources): string {
  const subject = settings.text("CERT_SUBJECT");
  if (subject === undefined) return "CN=Self-signed document signing certificate (hsm-signer)";
  const fault = sources.distinguishedNameFault(subject);
  if (fault !== undefined) {
    settings.mistake(
      `CERT_SUBJECT must be a distinguished name such as "CN=Example Ltd, O=Example Ltd, C=DE": ${fault}.`,
    );
  }
  return subject;
}

function readHost(settings: Settings): string {
  const host = settings.text("HOST") ?? "127.0.0.1";
  const acceptsRisk = settings.flag("ALLOW_UNAUTHENTICATED_NETWORK");
  if (host !== "localhost" && isIP(host) === 0) {
    settings.mistake(`HOST must be an IP address or localhost, not "${host}".`);
  } else if (!isLoopback(host) && !acceptsRisk) {
    settings.mistake(
      `HOST is ${host}, but nobody is authenticated yet: whoever reaches the port can sign. ` +
        "Listen on loopback behind a proxy that authenticates, or accept the risk with " +
        "ALLOW_UNAUTHENTICATED_NETWORK=true.",
    );
  }
  return host;
}

function isLoopback(host: string): boolean {
  const loopback = new BlockList();
  loopback.addSubnet("127.0.0.0", 8, "ipv4");
  loopback.addAddress("::1", "ipv6");
  return host === "localhost" || loopback.check(host, isIP(host) === 6 ? "ipv6" : "ipv4");
}

function readOrigins(settings: Settings): readonly string[] {
  const origins = (settings.text("CORS_ORIGINS") ?? "").split(/[\s,]+/).filter((origin) => origin !== "");
  for (const origin of origins) {
    if (origin === "*") continue;
    // URL takes * for a host's letter; it would be compared as it stands, and no page be let in.
    if (origin.includes("*") || !URL.canParse(origin) || new URL(origin).origin !== origin) {
      settings.mistake(
        `CORS_ORIGINS holds "${origin}", which is not an origin such as https://app.example.com (or * alone).`,
      );
    }
  }
  if (origins.includes("*") && origins.length > 1) {
    settings.mistake("CORS_ORIGINS holds * beside other origins; * alone allows all of them.");
  }
  return Object.freeze(origins);
}
