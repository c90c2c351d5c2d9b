import { messageOf } from "../errors.ts";
import { CERTIFICATE_NAME, type Grant, type GrantKey, parseGrants, TOKEN_HASH } from "./grants.ts";
import { isLoopback } from "./listener.ts";
import type { ConfigSources, Settings } from "./settings.ts";

/** The ways in; each is `undefined` where it is not configured. */
export interface AuthenticationConfig {
  /** By their hashes. */
  readonly tokens: readonly Grant[] | undefined;
  /** By what their subjects are called. */
  readonly certificates: readonly Grant[] | undefined;
  readonly jwt: JwtConfig | undefined;
}

export interface JwtConfig {
  /** `iss`, exactly. */
  readonly issuer: string;
  /** One of them must be in `aud`. */
  readonly audiences: readonly string[];
  /** A file with the issuer's keys; `undefined` for OIDC discovery. */
  readonly keysFile: string | undefined;
  readonly algorithms: readonly string[];
  /** Of clocks, in seconds. */
  readonly toleranceSeconds: number;
  readonly nameClaim: string;
  /** `undefined`: everybody may use the default credential. */
  readonly credentialsClaim: string | undefined;
  /** `undefined`: any digest is signed. */
  readonly digestClaim: string | undefined;
}

/** The settings that open a way in. */
export const WAYS_IN: readonly string[] = ["AUTH_TOKENS_FILE", "AUTH_JWT_ISSUER", "AUTH_TLS_NAMES_FILE"];

/** Asymmetric alone: with a shared secret, whoever verifies can issue. */
const ALGORITHMS: readonly string[] = [
  ...["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
  ...["ES256", "ES384", "ES512", "EdDSA", "Ed25519"],
];
const STANDARD_ALGORITHMS: readonly string[] = ["RS256", "PS256", "ES256", "EdDSA", "Ed25519"];
const TOLERANCE_SECONDS = { standard: 30, maximum: 300 } as const;
const JWT_SETTINGS: readonly string[] = [
  ...["AUTH_JWT_AUDIENCE", "AUTH_JWKS_FILE", "AUTH_JWT_ALGORITHMS", "AUTH_JWT_CLOCK_TOLERANCE"],
  ...["AUTH_JWT_NAME_CLAIM", "AUTH_JWT_CREDENTIALS_CLAIM", "AUTH_JWT_DIGEST_CLAIM"],
];

export const AUTHENTICATION_SETTINGS: readonly string[] = [...WAYS_IN, ...JWT_SETTINGS];

/** Whether anybody is authenticated, so that the service may be open to other machines. */
export function isAuthenticating(settings: Settings): boolean {
  return WAYS_IN.some((name) => settings.text(name) !== undefined);
}

export function readAuthentication(settings: Settings, sources: ConfigSources): AuthenticationConfig {
  return Object.freeze({
    tokens: readGrants("AUTH_TOKENS_FILE", TOKEN_HASH, settings, sources),
    certificates: readCertificateNames(settings, sources),
    jwt: readJwt(settings, sources),
  });
}

function readGrants(
  setting: string,
  key: GrantKey,
  settings: Settings,
  sources: ConfigSources,
): readonly Grant[] | undefined {
  const path = settings.text(setting);
  if (path === undefined) return undefined;
  if (!sources.fileExists(path)) {
    const advice = key === TOKEN_HASH ? "; hsm-signer token create makes it" : "";
    settings.mistake(`${setting} names "${path}", which does not exist${advice}.`);
    return [];
  }
  try {
    const { grants, mistakes } = parseGrants(sources.readFile(path), path, key);
    for (const mistake of mistakes) settings.mistake(`${setting} has a mistake: ${mistake}`);
    return Object.freeze(grants);
  } catch (error) {
    settings.mistake(`${setting} cannot be read: ${messageOf(error)}.`);
    return [];
  }
}

/** Names without an authority behind them, or an authority without names, would let in nobody or everybody. */
function readCertificateNames(settings: Settings, sources: ConfigSources): readonly Grant[] | undefined {
  const hasAuthority = settings.text("TLS_CLIENT_CA_FILE") !== undefined;
  const grants = readGrants("AUTH_TLS_NAMES_FILE", CERTIFICATE_NAME, settings, sources);
  if (grants !== undefined && !hasAuthority) {
    settings.mistake("AUTH_TLS_NAMES_FILE needs TLS_CLIENT_CA_FILE, which says who vouches for the names.");
  }
  if (grants === undefined && hasAuthority) {
    settings.mistake("TLS_CLIENT_CA_FILE needs AUTH_TLS_NAMES_FILE, which says whose certificates may sign.");
  }
  return grants;
}

function readJwt(settings: Settings, sources: ConfigSources): JwtConfig | undefined {
  const issuer = settings.text("AUTH_JWT_ISSUER");
  if (issuer === undefined) {
    for (const name of JWT_SETTINGS.filter((candidate) => settings.text(candidate) !== undefined)) {
      settings.mistake(`${name} needs AUTH_JWT_ISSUER, whose tokens are believed.`);
    }
    return undefined;
  }
  const keysFile = settings.text("AUTH_JWKS_FILE");
  if (keysFile === undefined) requireDiscoverable(issuer, settings);
  else if (!sources.fileExists(keysFile)) {
    settings.mistake(`AUTH_JWKS_FILE names "${keysFile}", which does not exist.`);
  }
  const audiences = settings.list("AUTH_JWT_AUDIENCE");
  if (audiences.length === 0) {
    settings.mistake(
      "AUTH_JWT_AUDIENCE must say what `aud` names this service: other tokens are not for it.",
    );
  }
  const { standard, maximum } = TOLERANCE_SECONDS;
  return Object.freeze({
    issuer,
    audiences,
    keysFile,
    algorithms: readAlgorithms(settings),
    toleranceSeconds: settings.integer("AUTH_JWT_CLOCK_TOLERANCE", standard, 0, maximum),
    nameClaim: settings.text("AUTH_JWT_NAME_CLAIM") ?? "sub",
    credentialsClaim: settings.text("AUTH_JWT_CREDENTIALS_CLAIM"),
    digestClaim: settings.text("AUTH_JWT_DIGEST_CLAIM"),
  });
}

/** What comes from there decides who may sign; over plain HTTP, whoever is on the way would decide it. */
export function isTrustworthy(url: URL): boolean {
  return url.protocol === "https:" || (url.protocol === "http:" && isLoopback(bareHost(url)));
}

function bareHost({ hostname }: URL): string {
  return hostname.replace(/^\[(.*)\]$/, "$1");
}

function requireDiscoverable(issuer: string, settings: Settings): void {
  const url = URL.canParse(issuer) ? new URL(issuer) : undefined;
  const isPlain = url !== undefined && url.search + url.hash + url.username + url.password === "";
  if (isPlain && isTrustworthy(url)) return;
  settings.mistake(
    "AUTH_JWT_ISSUER must be an https URL without a query, whose /.well-known/openid-configuration is read " +
      `(or give AUTH_JWKS_FILE), not "${issuer}".`,
  );
}

function readAlgorithms(settings: Settings): readonly string[] {
  const given = settings.list("AUTH_JWT_ALGORITHMS");
  for (const name of given.filter((candidate) => !ALGORITHMS.includes(candidate))) {
    settings.mistake(`AUTH_JWT_ALGORITHMS holds "${name}", which is none of ${ALGORITHMS.join(", ")}.`);
  }
  return given.length === 0 ? STANDARD_ALGORITHMS : given;
}
