import { type ErrorCode, messageOf, SignerError } from "../errors.ts";

/**
 * What to do about a PKCS#11 return value.
 *
 * - `caller`: the request was wrong for this key; the session is as good as before
 * - `session`: this session is no good any more; another one is
 * - `login`: the login or the handles made under it are gone
 * - `module`: the module or the token behind it is gone
 * - `busy`: the token works, but not now
 * - `fatal`: the PIN was refused; every further try brings the user nearer to being locked out
 * - `unknown`: nothing is known about the session's state
 */
export type Disposition = "caller" | "session" | "login" | "module" | "busy" | "fatal" | "unknown";

interface ReturnCode {
  readonly name: string;
  readonly disposition: Disposition;
  readonly reason: string;
}

/** Return values of PKCS#11 v2.40 §5.1 that have a disposition here; every other one is `unknown`. */
const RETURN_CODES: ReadonlyMap<number, ReturnCode> = new Map<number, ReturnCode>([
  [0x02, { name: "CKR_HOST_MEMORY", disposition: "busy", reason: "memory comes back when load goes" }],
  [
    0x05,
    { name: "CKR_GENERAL_ERROR", disposition: "module", reason: "the library says that it cannot go on" },
  ],
  [
    0x06,
    {
      name: "CKR_FUNCTION_FAILED",
      disposition: "busy",
      reason:
        "CloudHSM says so when it throttles, when an HSM is replaced, and before a new key reaches quorum",
    },
  ],
  [0x21, { name: "CKR_DATA_LEN_RANGE", disposition: "caller", reason: "the input does not fit the key" }],
  [
    0x30,
    { name: "CKR_DEVICE_ERROR", disposition: "module", reason: "only finalize and initialize bring it back" },
  ],
  [0x31, { name: "CKR_DEVICE_MEMORY", disposition: "busy", reason: "memory comes back when load goes" }],
  [0x32, { name: "CKR_DEVICE_REMOVED", disposition: "module", reason: "the token went away" }],
  [0x60, { name: "CKR_KEY_HANDLE_INVALID", disposition: "login", reason: "handles die with the login" }],
  [
    0x62,
    { name: "CKR_KEY_SIZE_RANGE", disposition: "caller", reason: "the mechanism does not take this key" },
  ],
  [
    0x63,
    { name: "CKR_KEY_TYPE_INCONSISTENT", disposition: "caller", reason: "the mechanism is for other keys" },
  ],
  [0x68, { name: "CKR_KEY_FUNCTION_NOT_PERMITTED", disposition: "caller", reason: "the key may not sign" }],
  [0x70, { name: "CKR_MECHANISM_INVALID", disposition: "caller", reason: "the token lacks the mechanism" }],
  [
    0x71,
    {
      name: "CKR_MECHANISM_PARAM_INVALID",
      disposition: "caller",
      reason: "the token lacks these parameters",
    },
  ],
  [0x82, { name: "CKR_OBJECT_HANDLE_INVALID", disposition: "login", reason: "handles die with the login" }],
  [
    0x90,
    {
      name: "CKR_OPERATION_ACTIVE",
      disposition: "session",
      reason: "a session was used by two operations, or left in the middle of one: a bug of ours",
    },
  ],
  [
    0xa0,
    {
      name: "CKR_PIN_INCORRECT",
      disposition: "fatal",
      reason:
        "each refused login brings the user nearer to being locked: correct the PIN before another start",
    },
  ],
  [
    0xa1,
    { name: "CKR_PIN_INVALID", disposition: "fatal", reason: "the PIN is not one that the token takes" },
  ],
  [0xa2, { name: "CKR_PIN_LEN_RANGE", disposition: "fatal", reason: "the PIN is too short or too long" }],
  [0xa3, { name: "CKR_PIN_EXPIRED", disposition: "fatal", reason: "a person has to set a new one" }],
  [0xa4, { name: "CKR_PIN_LOCKED", disposition: "fatal", reason: "a person has to unlock the user" }],
  [0xb0, { name: "CKR_SESSION_CLOSED", disposition: "session", reason: "the session was closed under us" }],
  [0xb1, { name: "CKR_SESSION_COUNT", disposition: "busy", reason: "all sessions of the token are in use" }],
  [0xb3, { name: "CKR_SESSION_HANDLE_INVALID", disposition: "session", reason: "the session is gone" }],
  [0xe0, { name: "CKR_TOKEN_NOT_PRESENT", disposition: "module", reason: "the token went away" }],
  [0x101, { name: "CKR_USER_NOT_LOGGED_IN", disposition: "login", reason: "the login is gone" }],
  [
    0x102,
    { name: "CKR_USER_PIN_NOT_INITIALIZED", disposition: "fatal", reason: "a person has to set a PIN" },
  ],
  [0x103, { name: "CKR_USER_TYPE_INVALID", disposition: "fatal", reason: "the token has no such user" }],
  [
    0x104,
    {
      name: "CKR_USER_ANOTHER_ALREADY_LOGGED_IN",
      disposition: "fatal",
      reason: "the process is somebody else",
    },
  ],
  [0x105, { name: "CKR_USER_TOO_MANY_TYPES", disposition: "fatal", reason: "the process is somebody else" }],
  [0x190, { name: "CKR_CRYPTOKI_NOT_INITIALIZED", disposition: "module", reason: "somebody finalized it" }],
]);

const ERROR_CODES: Readonly<Record<Disposition, ErrorCode>> = {
  caller: "ERR_TOKEN_REFUSED",
  session: "ERR_TOKEN_UNAVAILABLE",
  login: "ERR_TOKEN_UNAVAILABLE",
  module: "ERR_TOKEN_UNAVAILABLE",
  busy: "ERR_TOKEN_BUSY",
  fatal: "ERR_PIN_REJECTED",
  unknown: "ERR_TOKEN_FAULT",
};

export const CKR_USER_ALREADY_LOGGED_IN = 0x100;
export const CKR_OPERATION_ACTIVE = 0x90;

/** The return value in an error of pkcs11js or graphene; `undefined` for an error that has none. */
export function returnCodeOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || error instanceof SignerError) return undefined;
  const code = "code" in error ? error.code : undefined;
  return typeof code === "number" && code > 0 ? code : undefined;
}

/** What to do about an error that came out of a PKCS#11 call. */
export function dispositionOf(error: unknown): Disposition {
  const code = returnCodeOf(error);
  return (code === undefined ? undefined : RETURN_CODES.get(code)?.disposition) ?? "unknown";
}

/** `CKR_…` and the reason of its disposition, for messages. */
export function describeReturnCode(code: number): string {
  const known = RETURN_CODES.get(code);
  return known === undefined ? `return value 0x${code.toString(16)}` : `${known.name} (${known.reason})`;
}

/**
 * The error of this service for one that came out of a PKCS#11 call.
 *
 * @param action completes "Cannot …"
 */
export function tokenError(action: string, error: unknown): SignerError {
  if (error instanceof SignerError) return error;
  const code = returnCodeOf(error);
  const state = code === undefined ? messageOf(error) : describeReturnCode(code);
  return new SignerError(ERROR_CODES[dispositionOf(error)], `Cannot ${action}: ${state}`, { cause: error });
}
