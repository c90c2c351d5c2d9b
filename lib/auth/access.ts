import { ANONYMOUS, type Caller, type Presented, UnauthenticatedError } from "../caller.ts";
import type { AuthenticationConfig, JwtConfig } from "../config/authentication.ts";
import type { Grant } from "../config/grants.ts";
import { SignerError } from "../errors.ts";
import type { Log } from "../log.ts";
import {
  type Authenticator,
  BEARER_CHALLENGE,
  CERTIFICATE_CHALLENGE,
  type Evidence,
  refuseBearer,
} from "./authenticator.ts";
import { CertificateAuthenticator } from "./certificate_authenticator.ts";
import { IssuerKeys, type IssuerTimes, type KeySource } from "./issuer_keys.ts";
import { JwtAuthenticator } from "./jwt_authenticator.ts";
import { openKeyFile } from "./key_file.ts";
import { TokenAuthenticator } from "./token_authenticator.ts";

export interface AccessOptions {
  readonly config: AuthenticationConfig;
  /** Labels of the credentials that are served; the first is the default one. */
  readonly labels: readonly string[];
  readonly now: () => Date;
  readonly log: Log;
  /** What it takes the place of: keys of the same issuer go on to serve. */
  readonly former?: Access | undefined;
  readonly issuerTimes?: Partial<IssuerTimes>;
}

/** Whoever kept its predecessor would keep them all, one for each reload. */
type KeptOptions = Pick<AccessOptions, "config" | "labels" | "now" | "log">;

const BEARER = /^bearer(?: +(\S.*))?$/i;
const DAY_MS = 86_400_000;
/** From so many days before the end on. */
const EXPIRY_WARNING_DAYS = 14;

/** Who may come in: all ways of one reading of the configuration. */
export class Access {
  readonly #options: KeptOptions;
  /** Of bearer tokens. */
  readonly #bearers: readonly Authenticator[];
  readonly #certificates: Authenticator | undefined;
  readonly #keys: KeySource | undefined;

  private constructor({ config, labels, now, log }: KeptOptions, keys: KeySource | undefined) {
    const { tokens, certificates, jwt } = config;
    const [standard = ""] = labels;
    this.#options = { config, labels, now, log };
    this.#keys = keys;
    this.#bearers = [
      ...(tokens ? [new TokenAuthenticator(tokens, standard, now)] : []),
      ...(jwt && keys ? [new JwtAuthenticator({ config: jwt, keys, standard, now })] : []),
    ];
    this.#certificates = certificates && new CertificateAuthenticator(certificates, standard, now);
  }

  /**
   * Opens all ways. An issuer that does not answer stops no start: its tokens are refused until it does. One that
   * takes the place of another has to: its name may be mistyped.
   *
   * @throws SignerError `ERR_CONFIGURATION`
   */
  static async open(options: AccessOptions): Promise<Access> {
    const { config, former } = options;
    return new Access(options, config.jwt && (await keysOf(config.jwt, former, options)));
  }

  /**
   * Who sent a request.
   *
   * @throws UnauthenticatedError, at once or later; SignerError `ERR_ISSUER_UNAVAILABLE`
   */
  authenticate({ authorization, certificate }: Presented): Caller | Promise<Caller> {
    if (this.#isOpen) return ANONYMOUS;
    const takesTokens = this.#bearers.length > 0;
    const [field, bearer] = (takesTokens && authorization && BEARER.exec(authorization)) || [];
    // Who shows a token means it; the certificate may be that of the machine that sends it on.
    if (field !== undefined) return this.#authenticateBearer({ bearer, certificate });
    const caller = this.#certificates?.authenticate({ bearer, certificate });
    if (caller !== undefined) return caller;
    const challenge = takesTokens ? BEARER_CHALLENGE : CERTIFICATE_CHALLENGE;
    throw new UnauthenticatedError("Cannot authenticate: nothing says who asks", challenge);
  }

  /** @throws SignerError `ERR_ISSUER_UNAVAILABLE` when nobody at all can come in */
  requireUsable(): void {
    const { tokens, certificates } = this.#options.config;
    if (tokens === undefined && certificates === undefined) this.#keys?.current();
  }

  /** For a person who asks; without a name. */
  facts(): Readonly<Record<string, unknown>> {
    if (this.#isOpen) return {};
    const { tokens, certificates, jwt } = this.#options.config;
    const ways = Object.entries({ tokens, jwt, certificates }).flatMap(([name, way]) => (way ? [name] : []));
    return { authentication: { ways, ...(this.#keys ? { issuer: this.#keys.facts() } : {}) } };
  }

  /** What an operator should hear at a start, and again each day. */
  warn(): void {
    const { config, labels, now, log } = this.#options;
    for (const [setting, grants] of [
      ["AUTH_TOKENS_FILE", config.tokens],
      ["AUTH_TLS_NAMES_FILE", config.certificates],
    ] as const) {
      if (grants?.length === 0) log("warning", "access.nobody", { setting });
      for (const grant of grants ?? []) warnOf(grant, setting, labels, now(), log);
    }
  }

  /** Nothing is asked of an issuer any more, unless what takes its place uses the same keys. */
  close(successor?: Access): void {
    const goesOn = successor !== undefined && this.#keys === successor.#keys;
    if (!goesOn) this.#keys?.close();
  }

  /** The keys, where they are those of the same issuer, found in the same way. */
  keysFor({ issuer, keysFile }: JwtConfig): KeySource | undefined {
    const { jwt } = this.#options.config;
    const isSame = keysFile === undefined && jwt?.keysFile === undefined && jwt?.issuer === issuer;
    return isSame ? this.#keys : undefined;
  }

  /** Whether nobody is authenticated. */
  get #isOpen(): boolean {
    return this.#bearers.length === 0 && this.#certificates === undefined;
  }

  #authenticateBearer(evidence: Evidence): Caller | Promise<Caller> {
    for (const authenticator of this.#bearers) {
      const caller = authenticator.authenticate(evidence);
      if (caller !== undefined) return caller;
    }
    throw refuseBearer("is none of the kinds that are known here");
  }
}

/**
 * A file is read anew; an issuer that is known already need not answer now.
 *
 * @throws SignerError `ERR_CONFIGURATION`
 */
async function keysOf(
  config: JwtConfig,
  former: Access | undefined,
  { log, issuerTimes = {} }: AccessOptions,
): Promise<KeySource> {
  if (config.keysFile !== undefined) return openKeyFile(config.keysFile);
  const known = former?.keysFor(config);
  if (known !== undefined) return known;
  const keys = new IssuerKeys({ issuer: config.issuer, log, times: issuerTimes });
  await keys.start();
  if (former !== undefined) requireAnswer(keys, config);
  return keys;
}

function requireAnswer(keys: IssuerKeys, { issuer }: JwtConfig): void {
  try {
    keys.current();
  } catch (cause) {
    keys.close();
    const message = `Cannot take ${issuer} (AUTH_JWT_ISSUER) for the issuer: its keys cannot be fetched`;
    throw new SignerError("ERR_CONFIGURATION", message, { cause });
  }
}

function warnOf(grant: Grant, setting: string, labels: readonly string[], now: Date, log: Log): void {
  const { name, credentials, expires = Number.POSITIVE_INFINITY } = grant;
  const days = Math.floor((expires - now.getTime()) / DAY_MS);
  if (days <= EXPIRY_WARNING_DAYS) {
    const event = expires <= now.getTime() ? "access.expired" : "access.expires";
    log("warning", event, { setting, name, expires: new Date(expires).toISOString(), days });
  }
  const unknown = credentials.filter((label) => label !== "*" && !labels.includes(label));
  if (unknown.length > 0)
    log("warning", "access.unknown_credential", { setting, name, credentials: unknown });
}
