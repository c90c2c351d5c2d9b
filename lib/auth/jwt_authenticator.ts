import { errors, type JWTPayload, jwtVerify } from "jose";
import type { Caller } from "../caller.ts";
import type { JwtConfig } from "../config/authentication.ts";
import { type Authenticator, type Evidence, refuseBearer } from "./authenticator.ts";
import { grantedCredentials } from "./credential_grant.ts";
import type { KeySource } from "./issuer_keys.ts";
import type { KeySet } from "./key_set.ts";
import { VerifiedTokens } from "./verified_tokens.ts";

export interface JwtAuthenticatorOptions {
  readonly config: JwtConfig;
  readonly keys: KeySource;
  /** Label of the default credential. */
  readonly standard: string;
  readonly now: () => Date;
}

/** A compact JWS (RFC 7515 §3.1); one of five parts is encrypted, and for somebody else. */
const JWT = /^[\w-]+\.[\w-]*\.[\w-]*$/;
const MAX_LENGTH = 8_192;
/** Other tokens of the same issuer say something else than who may do what (RFC 8725 §3.11, RFC 9068 §2.1). */
const TYPE = /^(application\/)?(at\+)?jwt$/i;
/** As OpenID Connect limits `sub`; without what would break a line of a log. */
const NAME = /^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]{1,255}$/u;
const DIGEST_LENGTHS: readonly number[] = [32, 48, 64];

/** What is wrong with a token, by jose's codes; goes on from "the token". */
const STATES: Readonly<Record<string, string>> = {
  ERR_JWT_EXPIRED: "has expired",
  ERR_JOSE_ALG_NOT_ALLOWED: "is signed with an algorithm that is not allowed",
  ERR_JWKS_NO_MATCHING_KEY: "is signed with a key that its issuer does not have",
  ERR_JWKS_MULTIPLE_MATCHING_KEYS: "does not say which key of its issuer has signed it",
  ERR_JWS_SIGNATURE_VERIFICATION_FAILED: "has a wrong signature",
};
const CLAIM_STATES: Readonly<Record<string, string>> = {
  iss: "is of another issuer",
  aud: "is for another audience",
  nbf: "is not valid yet",
  exp: "does not say when it ends",
};

/** Knows callers by the signed tokens of an issuer (RFC 7519, by the advice of RFC 8725). */
export class JwtAuthenticator implements Authenticator {
  readonly #options: JwtAuthenticatorOptions;
  readonly #verified = new VerifiedTokens();

  constructor(options: JwtAuthenticatorOptions) {
    this.#options = options;
  }

  authenticate({ bearer }: Evidence): Caller | Promise<Caller> | undefined {
    if (bearer === undefined || !JWT.test(bearer)) return undefined;
    if (bearer.length > MAX_LENGTH) throw refuseBearer("is too long");
    const keys = this.#options.keys.current();
    return this.#verified.find(bearer, keys, this.#options.now()) ?? this.#verify(bearer, keys);
  }

  async #verify(token: string, keys: KeySet): Promise<Caller> {
    try {
      return await this.#verifyWith(keys, token);
    } catch (error) {
      // The issuer may have a new one.
      const isUnknownKey = error instanceof errors.JWKSNoMatchingKey && (await this.#options.keys.refresh());
      if (!isUnknownKey) throw refusalOf(error);
    }
    return this.#verifyWith(this.#options.keys.current(), token).catch((error: unknown) => {
      throw refusalOf(error);
    });
  }

  async #verifyWith(keys: KeySet, token: string): Promise<Caller> {
    const { issuer, audiences, algorithms, toleranceSeconds } = this.#options.config;
    const { payload, protectedHeader } = await jwtVerify(token, keys.find, {
      issuer,
      audience: [...audiences],
      algorithms: [...algorithms],
      clockTolerance: toleranceSeconds,
      requiredClaims: ["exp"],
      currentDate: this.#options.now(),
    });
    if (!isAccessToken(protectedHeader.typ)) throw refuseBearer("is of a type that grants nothing");
    const caller = this.#callerOf(payload);
    // One that is for a single document does not come often.
    if (caller.digest === undefined) {
      this.#verified.add(token, keys, caller, 1_000 * ((payload.exp ?? 0) + toleranceSeconds));
    }
    return caller;
  }

  #callerOf(payload: JWTPayload): Caller {
    const { config, standard } = this.#options;
    const { nameClaim, credentialsClaim, digestClaim } = config;
    const name = own(payload, nameClaim);
    if (typeof name !== "string" || !NAME.test(name)) throw refuseBearer("does not say whose it is");
    const credentials =
      credentialsClaim === undefined
        ? grantedCredentials([], standard)
        : claimedCredentials(own(payload, credentialsClaim));
    const digest = digestClaim === undefined ? undefined : digestOf(own(payload, digestClaim));
    return Object.freeze({ name: `jwt:${name}`, credentials, digest });
  }
}

/** @param type of the header; an issuer may put anything there */
function isAccessToken(type: unknown): boolean {
  return type === undefined || (typeof type === "string" && TYPE.test(type));
}

/** A claim by its name, which may be that of something every object has. */
function own(payload: JWTPayload, name: string): unknown {
  return Object.hasOwn(payload, name) ? payload[name] : undefined;
}

/** A list of labels, or words as in `scope` (RFC 8693 §4.2). None where it is missing or something else. */
function claimedCredentials(claim: unknown): ReadonlySet<string> | undefined {
  const labels = typeof claim === "string" ? claim.split(" ") : Array.isArray(claim) ? claim : [];
  const named = labels.filter((label): label is string => typeof label === "string" && label !== "");
  return named.length === 0 ? new Set() : grantedCredentials(named, "");
}

/** The hash that may be signed, in hexadecimal digits of either case or in base64url. */
function digestOf(claim: unknown): Buffer {
  const text = typeof claim === "string" ? claim : "";
  for (const [form, encoding] of [
    [/^[\dA-Fa-f]+$/, "hex"],
    [/^[\w-]+$/, "base64url"],
  ] as const) {
    const bytes = form.test(text) ? Buffer.from(text, encoding) : undefined;
    if (bytes !== undefined && DIGEST_LENGTHS.includes(bytes.length)) {
      if (bytes.toString(encoding) === (encoding === "hex" ? text.toLowerCase() : text)) return bytes;
    }
  }
  throw refuseBearer("does not say which hash it is for");
}

/** jose's errors carry the claims: nothing of them goes further than this. */
function refusalOf(error: unknown): unknown {
  if (!(error instanceof errors.JOSEError)) return error;
  if (error instanceof errors.JWTClaimValidationFailed) {
    return refuseBearer(CLAIM_STATES[error.claim] ?? "has a claim that is not valid");
  }
  return refuseBearer(STATES[error.code] ?? "is malformed");
}
