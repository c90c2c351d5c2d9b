import { constant, type ReturnValue } from "./constants.ts";

export type CodeSwitch =
  | "LOCKING"
  | "SESSION_COUNT"
  | "PIN_FORM"
  | "USER_TYPE"
  | "UNSUPPORTED"
  | "VALUE"
  | "INCOMPLETE"
  | "KEY_SIZE"
  | "CURVE"
  | "MULTI_PART"
  | "NOT_LOGGED_IN"
  | "KEY_HANDLE"
  | "OPERATION_ACTIVE"
  | "NOT_BEGUN"
  | "AWAY"
  | "SESSION_LOST"
  | "REPLACED";

/**
 * What CloudHSM may answer where its documentation does not say; README.md beside this file says to what. The
 * first one is the standard.
 */
export const CODE_SWITCHES: Readonly<Record<CodeSwitch, readonly ReturnValue[]>> = {
  LOCKING: ["CKR_CANT_LOCK", "CKR_ARGUMENTS_BAD", "CKR_OK"],
  SESSION_COUNT: ["CKR_SESSION_COUNT", "CKR_FUNCTION_FAILED"],
  PIN_FORM: ["CKR_PIN_INCORRECT", "CKR_ARGUMENTS_BAD"],
  USER_TYPE: ["CKR_USER_TYPE_INVALID", "CKR_ARGUMENTS_BAD"],
  UNSUPPORTED: ["CKR_FUNCTION_NOT_SUPPORTED", "CKR_FUNCTION_FAILED"],
  VALUE: ["CKR_ATTRIBUTE_VALUE_INVALID", "CKR_TEMPLATE_INCONSISTENT"],
  INCOMPLETE: ["CKR_TEMPLATE_INCOMPLETE", "CKR_TEMPLATE_INCONSISTENT"],
  KEY_SIZE: ["CKR_ATTRIBUTE_VALUE_INVALID", "CKR_KEY_SIZE_RANGE"],
  CURVE: ["CKR_ATTRIBUTE_VALUE_INVALID", "CKR_CURVE_NOT_SUPPORTED", "CKR_DOMAIN_PARAMS_INVALID"],
  MULTI_PART: ["CKR_MECHANISM_INVALID", "CKR_FUNCTION_NOT_SUPPORTED"],
  NOT_LOGGED_IN: ["CKR_USER_NOT_LOGGED_IN", "CKR_KEY_HANDLE_INVALID", "CKR_OBJECT_HANDLE_INVALID"],
  KEY_HANDLE: ["CKR_KEY_HANDLE_INVALID", "CKR_OBJECT_HANDLE_INVALID"],
  OPERATION_ACTIVE: ["CKR_OPERATION_ACTIVE", "CKR_FUNCTION_FAILED", "CKR_OK"],
  NOT_BEGUN: ["CKR_OPERATION_NOT_INITIALIZED", "CKR_FUNCTION_FAILED", "CKR_OK"],
  AWAY: [
    "CKR_DEVICE_ERROR",
    "CKR_GENERAL_ERROR",
    "CKR_TOKEN_NOT_PRESENT",
    "CKR_FUNCTION_FAILED",
    "CKR_DEVICE_REMOVED",
  ],
  SESSION_LOST: ["CKR_SESSION_HANDLE_INVALID", "CKR_SESSION_CLOSED"],
  REPLACED: ["CKR_FUNCTION_FAILED", "CKR_DEVICE_ERROR"],
};

export interface SimulatorSettings {
  readonly codes?: Readonly<Partial<Record<CodeSwitch, ReturnValue>>>;
  /** Sessions that a process may have. */
  readonly sessions?: number;
  /** Refused PINs in a row that lock the user. */
  readonly pinTries?: number;
  /** By standard true: C_SignInit asks the cluster, unless it was told not to. */
  readonly validatesKeyAtInit?: boolean;
  /** By standard true: C_SignInit refuses a key that the order's quorum does not have yet. */
  readonly checksKeyAvailability?: boolean;
  /** By standard false: an input that was signed before is answered without SoftHSM2. */
  readonly answersFromMemory?: boolean;
}

/** What the library reads at C_Initialize. */
export function environmentOf(settings: SimulatorSettings): Record<string, string> {
  const { codes = {}, sessions, pinTries } = settings;
  const values = {
    SIM_SESSIONS: sessions,
    SIM_PIN_TRIES: pinTries,
    SIM_VALIDATE_KEY_AT_INIT: settings.validatesKeyAtInit,
    SIM_CHECK_KEY_AVAILABILITY: settings.checksKeyAvailability,
    SIM_ANSWER_FROM_MEMORY: settings.answersFromMemory,
    ...Object.fromEntries(Object.entries(codes).map(([name, code]) => [`SIM_CODE_${name}`, constant(code)])),
  };
  return Object.fromEntries(
    Object.entries(values)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => [name, String(value)]),
  );
}

/** Settings of which each alternative value of each switch is in one at least: they do not depend on each other. */
export function everyOtherSetting(): SimulatorSettings[] {
  const alternatives = Math.max(...Object.values(CODE_SWITCHES).map((codes) => codes.length)) - 1;
  return Array.from({ length: alternatives }, (_, index) => ({
    codes: Object.fromEntries(
      Object.entries(CODE_SWITCHES).map(([name, [, ...others]]) => [name, others[index % others.length]]),
    ),
    validatesKeyAtInit: index % 2 === 1,
    checksKeyAvailability: index % 4 < 2,
  }));
}
