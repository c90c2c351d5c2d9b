import { UnauthenticatedError } from "../caller.ts";
import { type ErrorCode, SignerError } from "../errors.ts";
import type { HttpReply } from "./exchange.ts";

/** What a client is told about a code: the status, and for our own troubles a text of our own. */
interface Problem {
  readonly status: number;
  /** Stands in for the error's message, which is for the operator alone. */
  readonly detail?: string;
  /** Seconds after which another try is worth it. */
  readonly retryAfter?: number;
}

const INTERNAL: Problem = { status: 500, detail: "The service failed; its log says why." };

const PROBLEMS: Readonly<Partial<Record<ErrorCode, Problem>>> = {
  ERR_REQUEST_MALFORMED: { status: 400 },
  ERR_JSON_MALFORMED: { status: 400 },
  ERR_BASE64_MALFORMED: { status: 400 },
  ERR_BODY_INCOMPLETE: { status: 400 },
  ERR_CLIENT_GONE: { status: 400 },
  ERR_UNAUTHENTICATED: { status: 401 },
  ERR_FORBIDDEN: { status: 403 },
  ERR_DIGEST_NOT_GRANTED: { status: 403 },
  ERR_NOT_FOUND: { status: 404 },
  ERR_CREDENTIAL_UNKNOWN: { status: 404 },
  ERR_METHOD_NOT_ALLOWED: { status: 405 },
  ERR_BODY_TIMEOUT: { status: 408 },
  ERR_BODY_TOO_LARGE: { status: 413 },
  ERR_MEDIA_TYPE: { status: 415 },
  ERR_CONTENT_ENCODING: { status: 415 },
  ERR_EXPECTATION: { status: 417 },
  ERR_MEMBER_INVALID: { status: 422 },
  ERR_DOCUMENT_MISSING: { status: 422 },
  ERR_DOCUMENT_EMPTY: { status: 422 },
  ERR_DIGEST_INVALID: { status: 422 },
  ERR_DIGEST_MISMATCH: { status: 422 },
  ERR_HEADERS_TOO_LARGE: { status: 431 },
  ERR_RATE_LIMITED: { status: 429 },
  ERR_TOO_MANY_REQUESTS_IN_FLIGHT: { status: 429 },
  ERR_ISSUER_UNAVAILABLE: {
    status: 503,
    detail: "The keys of the token's issuer cannot be had.",
    retryAfter: 5,
  },
  ERR_STOPPING: { status: 503, detail: "The service is stopping.", retryAfter: 1 },
  ERR_TOKEN_BUSY: { status: 503, detail: "The HSM is busy.", retryAfter: 1 },
  ERR_SIGN_TIMEOUT: { status: 503, detail: "The HSM has not answered in time.", retryAfter: 5 },
  ERR_TOKEN_HANGS: { status: 503, detail: "The HSM does not answer any more.", retryAfter: 5 },
  ERR_TOKEN_UNAVAILABLE: { status: 503, detail: "The HSM is away.", retryAfter: 5 },
  ERR_SIGNATURE_WRONG: {
    status: 503,
    detail: "The HSM gave a wrong signature, which was not sent.",
    retryAfter: 5,
  },
  ERR_TOKEN_FAULT: { status: 500, detail: "The HSM failed in an unknown way; the service's log says how." },
  ERR_TOKEN_REFUSED: {
    status: 500,
    detail: "The HSM refuses to sign with this key; an operator has to act.",
  },
  ERR_PIN_REJECTED: {
    status: 503,
    detail: "The HSM refused the login; an operator has to act.",
    retryAfter: 60,
  },
  ERR_KEY_NOT_FOUND: {
    status: 503,
    detail: "The key is not on the HSM any more; an operator has to act.",
    retryAfter: 60,
  },
  ERR_KEY_AMBIGUOUS: {
    status: 503,
    detail: "The HSM has several keys of this name; an operator has to act.",
    retryAfter: 60,
  },
  ERR_KEY_UNUSABLE: {
    status: 503,
    detail: "The key on the HSM is not the one that was certified; an operator has to act.",
    retryAfter: 60,
  },
  ERR_AUDIT_UNAVAILABLE: {
    status: 503,
    detail: "Signatures cannot be recorded, and none is given without a record.",
    retryAfter: 5,
  },
  ERR_CERTIFICATE_EXPIRED: {
    status: 503,
    detail: "The certificate has expired; an operator has to act.",
    retryAfter: 60,
  },
  ERR_CERTIFICATE_NOT_YET_VALID: {
    status: 503,
    detail: "The certificate is not valid yet; an operator has to act.",
    retryAfter: 60,
  },
};

const TITLES: Readonly<Record<number, string>> = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  408: "Request Timeout",
  413: "Content Too Large",
  415: "Unsupported Media Type",
  417: "Expectation Failed",
  422: "Unprocessable Content",
  429: "Too Many Requests",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  503: "Service Unavailable",
};

/**
 * The one place where an error becomes an answer: problem+json (RFC 9457) with the stable code as the
 * extension member `code`. An error that is not the client's shows nothing of its message.
 *
 * @param members further extension members
 */
export function problemReply(
  error: unknown,
  headers: Readonly<Record<string, string>> = {},
  members: Readonly<Record<string, unknown>> = {},
): HttpReply {
  const known = error instanceof SignerError ? PROBLEMS[error.code] : undefined;
  const { status, detail, retryAfter: standardRetry } = known ?? INTERNAL;
  const retryAfter = (error instanceof SignerError ? error.retryAfter : undefined) ?? standardRetry;
  const code = known !== undefined && error instanceof SignerError ? error.code : "ERR_INTERNAL";
  return {
    status,
    code,
    headers: {
      ...headers,
      "content-type": "application/problem+json",
      ...(retryAfter === undefined ? {} : { "retry-after": String(retryAfter) }),
      ...(error instanceof UnauthenticatedError ? { "www-authenticate": error.challenge } : {}),
    },
    body: JSON.stringify({
      title: TITLES[status],
      status,
      code,
      detail: detail ?? (error instanceof SignerError ? error.message : ""),
      ...members,
    }),
  };
}
