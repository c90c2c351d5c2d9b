import type { Config } from "./config/config.ts";
import { ChainFile } from "./credential/chain_file.ts";
import type { StoredKeyPair } from "./credential/credential.ts";
import { type KeyStore, openCredential } from "./credential/open_credential.ts";
import { DocumentSigner } from "./document_signer.ts";
import { messageOf, SignerError } from "./errors.ts";
import type { Log } from "./log.ts";

export interface OpenCredentialsOptions {
  readonly config: Pick<Config, "credentials" | "autoProvision" | "certificate">;
  readonly keys: KeyStore;
  /** Signs certificates with the private keys of `keys`. */
  readonly crypto: Crypto;
  readonly now: () => Date;
  readonly log: Log;
}

/** A credential as it is served: what signs, and what is shown of it. */
export interface ServedCredential {
  readonly signer: DocumentSigner;
  /** The chain, PEM, leaf first. */
  readonly certificatePem: string;
}

/** The length of an Adobe placeholder as the Web SDK makes it by default is 16,385 bytes. */
export const DEFAULT_PLACEHOLDER_BYTES = 16_384;
const DAY_MS = 86_400_000;
/** From so many days before the end on. */
const EXPIRY_WARNING_DAYS = 30;

/** Some of the credentials of a configuration cannot be served; one sentence for each. */
export class CredentialsError extends SignerError {
  readonly mistakes: readonly string[];

  constructor(errors: readonly SignerError[]) {
    const [first] = errors;
    const sentences = errors.map((error) => `${error.message}.`);
    super(first?.code ?? "ERR_CONFIGURATION", messageOf(first), { cause: first });
    this.name = "CredentialsError";
    this.mistakes = sentences;
  }
}

/**
 * The credentials that are served together: all of one reading of the configuration, each proven. The first is
 * the default one.
 */
export class Credentials {
  readonly #served: readonly ServedCredential[];
  readonly #keys: KeyStore;

  private constructor(served: readonly ServedCredential[], keys: KeyStore) {
    this.#served = served;
    this.#keys = keys;
  }

  /**
   * Opens all of them. One whose chain has expired stops no others: it is served, and refuses to sign.
   *
   * @throws CredentialsError that names every one that cannot be served; SignerError `ERR_TOKEN_*` when the
   *   token fails
   */
  static async open(options: OpenCredentialsOptions): Promise<Credentials> {
    const { config, keys, now } = options;
    const opened: ServedCredential[] = [];
    const pairs: StoredKeyPair[] = [];
    const errors: SignerError[] = [];
    for (const { label, algorithm } of config.credentials) {
      try {
        const toleratesExpiry = config.credentials.length > 1;
        const credential = await openCredential({ ...options, ...config, label, algorithm, toleratesExpiry });
        pairs.push(credential.keys);
        const certificatePem = ChainFile.toPem(credential.chain.certificates);
        opened.push({ signer: new DocumentSigner(credential, now), certificatePem });
      } catch (error) {
        if (!(error instanceof SignerError)) throw error;
        errors.push(error);
        // What the token does not do for one, it does for none.
        if (/^ERR_(TOKEN|SIGN|PIN)/.test(error.code)) break;
      }
    }
    const credentials = new Credentials(opened, keys);
    if (errors.length === 0 && opened.some(({ signer }) => !signer.isExpired)) return credentials;
    credentials.release();
    const expired = opened.filter(({ signer }) => signer.isExpired).map(({ signer }) => signer.expiry());
    throw new CredentialsError([...errors, ...(errors.length > 0 ? [] : expired)]);
  }

  /** The one that signs where nobody asks for another. */
  get standard(): ServedCredential {
    const [first] = this.#served;
    if (first === undefined) throw new RangeError("Cannot serve without a credential");
    return first;
  }

  /** The default one, unless it has expired and another one has not. */
  get usable(): ServedCredential {
    return this.#served.find(({ signer }) => !signer.isExpired) ?? this.standard;
  }

  /** @throws SignerError `ERR_CREDENTIAL_UNKNOWN` */
  find(label: string): ServedCredential {
    const found = this.#served.find(({ signer }) => signer.credential.label === label);
    if (found !== undefined) return found;
    throw new SignerError("ERR_CREDENTIAL_UNKNOWN", "Cannot sign: there is no such credential");
  }

  /** Their keys are not in use any more. */
  release(): void {
    for (const { signer } of this.#served) this.#keys.forget(signer.credential.keys);
  }

  /** The default one, and all of them where there are several, for a log or a person. */
  facts(now: Date): Record<string, unknown> {
    const described = this.#served.map((served) => describeCredential(served, now));
    return { ...described[0], ...(described.length > 1 ? { credentials: described } : {}) };
  }

  /** What a person should hear of those that expire soon, or have expired. */
  warning(now: Date): string | undefined {
    const warnings = this.#served.flatMap(({ signer: { credential } }) => {
      const warning = expiryWarning(credential.chain.notAfter, now);
      return warning === undefined ? [] : [`"${credential.label}": ${warning}`];
    });
    return warnings.join(", ") || undefined;
  }

  /** Milliseconds until the chain of each expires; negative afterwards. */
  remaining(now: Date): readonly { readonly credential: string; readonly remainingMs: number }[] {
    return this.#served.map(({ signer: { credential } }) => ({
      credential: credential.label,
      remainingMs: credential.chain.notAfter.getTime() - now.getTime(),
    }));
  }

  /** What an operator should hear of them at a start, and again each day. */
  warn(now: Date, log: Log): void {
    for (const { signer } of this.#served) {
      warnOfExpiry(signer, now, log);
      warnOfLargeContainers(signer, log);
    }
  }
}

function describeCredential({ signer }: ServedCredential, now: Date): Record<string, unknown> {
  const { credential, maxContainerLength } = signer;
  const { algorithm } = credential.signer;
  const warning = expiryWarning(credential.chain.notAfter, now);
  return {
    credential: credential.label,
    algorithm: `${algorithm.key.name} ${algorithm.scheme} ${algorithm.hash.name}`,
    certificateNotAfter: credential.chain.notAfter.toISOString(),
    ...(warning === undefined ? {} : { warning }),
    maxContainerBytes: maxContainerLength,
  };
}

/** What a person should hear of a chain that ends soon, or has ended. */
export function expiryWarning(notAfter: Date, now: Date): string | undefined {
  if (!expiresSoon(notAfter, now)) return undefined;
  const days = daysLeft(notAfter, now);
  if (days < 0) return "its certificate chain has expired";
  return `its certificate chain expires in ${days} ${days === 1 ? "day" : "days"}`;
}

/** Whole days; negative when it is over. */
function daysLeft(notAfter: Date, now: Date): number {
  return Math.floor((notAfter.getTime() - now.getTime()) / DAY_MS);
}

function expiresSoon(notAfter: Date, now: Date): boolean {
  return notAfter.getTime() - now.getTime() <= EXPIRY_WARNING_DAYS * DAY_MS;
}

function warnOfLargeContainers({ credential, maxContainerLength }: DocumentSigner, log: Log): void {
  if (maxContainerLength <= DEFAULT_PLACEHOLDER_BYTES) return;
  log("warning", "container.large", {
    credential: credential.label,
    maxContainerBytes: maxContainerLength,
    advice: "the chain is long: set placeholderSize in the front end, or leave certificates out",
  });
}

function warnOfExpiry(signer: DocumentSigner, now: Date, log: Log): void {
  const { label, chain } = signer.credential;
  if (!expiresSoon(chain.notAfter, now)) return;
  const days = daysLeft(chain.notAfter, now);
  log(days < 0 ? "error" : "warning", days < 0 ? "certificate.expired" : "certificate.expires", {
    credential: label,
    notAfter: chain.notAfter.toISOString(),
    days,
  });
}
