/**
 * Every way in which this service can fail on purpose. The codes are stable: clients, scripts and alarms
 * match on them. Only `lib/http/problems.ts` turns a code into an HTTP status.
 */
export type ErrorCode =
  // the operator's configuration
  | "ERR_CONFIGURATION"
  // the token, by what can be done about it (lib/hsm/return_codes.ts)
  | "ERR_MODULE_UNUSABLE"
  | "ERR_TOKEN_NOT_FOUND"
  | "ERR_PIN_REJECTED"
  | "ERR_TOKEN_UNAVAILABLE"
  | "ERR_TOKEN_BUSY"
  | "ERR_TOKEN_REFUSED"
  | "ERR_TOKEN_FAULT"
  | "ERR_SIGNATURE_WRONG"
  | "ERR_SIGN_TIMEOUT"
  | "ERR_TOKEN_HANGS"
  // the key pair
  | "ERR_KEY_NOT_FOUND"
  | "ERR_KEY_AMBIGUOUS"
  | "ERR_KEY_UNUSABLE"
  // the certificate chain
  | "ERR_CERTIFICATE_NOT_FOUND"
  | "ERR_CERTIFICATE_MALFORMED"
  | "ERR_CERTIFICATE_KEY_MISMATCH"
  | "ERR_CERTIFICATE_CHAIN"
  | "ERR_CERTIFICATE_USAGE"
  | "ERR_CERTIFICATE_WEAK"
  | "ERR_CERTIFICATE_NOT_YET_VALID"
  | "ERR_CERTIFICATE_EXPIRED"
  | "ERR_CERTIFICATE_NOT_WRITTEN"
  // the audit trail
  | "ERR_AUDIT_UNAVAILABLE"
  | "ERR_AUDIT_BROKEN"
  // the caller
  | "ERR_UNAUTHENTICATED"
  | "ERR_FORBIDDEN"
  | "ERR_DIGEST_NOT_GRANTED"
  | "ERR_ISSUER_UNAVAILABLE"
  | "ERR_RATE_LIMITED"
  | "ERR_TOO_MANY_REQUESTS_IN_FLIGHT"
  // the request
  | "ERR_REQUEST_MALFORMED"
  | "ERR_NOT_FOUND"
  | "ERR_CREDENTIAL_UNKNOWN"
  | "ERR_METHOD_NOT_ALLOWED"
  | "ERR_MEDIA_TYPE"
  | "ERR_CONTENT_ENCODING"
  | "ERR_EXPECTATION"
  | "ERR_HEADERS_TOO_LARGE"
  | "ERR_BODY_TOO_LARGE"
  | "ERR_BODY_TIMEOUT"
  | "ERR_BODY_INCOMPLETE"
  | "ERR_JSON_MALFORMED"
  | "ERR_BASE64_MALFORMED"
  | "ERR_MEMBER_INVALID"
  | "ERR_DOCUMENT_MISSING"
  | "ERR_DOCUMENT_EMPTY"
  | "ERR_DIGEST_INVALID"
  | "ERR_DIGEST_MISMATCH"
  | "ERR_CLIENT_GONE"
  | "ERR_STOPPING";

/**
 * The one error of this service. Messages read "Cannot <do x>: <state>"; no message holds a PIN, a token
 * value or a byte of a document. `cause` is kept for the log and never sent to a client.
 */
export class SignerError extends Error {
  readonly code: ErrorCode;
  /** Seconds after which another try is worth it, where whoever failed knows. */
  readonly retryAfter: number | undefined;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown; retryAfter?: number }) {
    super(message, options);
    this.name = "SignerError";
    this.code = code;
    this.retryAfter = options?.retryAfter;
  }
}

/** The text of anything that was thrown, for a message or a log line. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The sentences that an operator reads when something could not be done: one for each mistake. */
export function sentencesOf(error: unknown): readonly string[] {
  return error instanceof Error && "mistakes" in error && Array.isArray(error.mistakes)
    ? error.mistakes.map(String)
    : [`${messageOf(error)}.`];
}
