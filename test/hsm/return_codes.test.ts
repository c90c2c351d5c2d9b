import assert from "node:assert/strict";
import { test } from "node:test";
import pkcs11 from "pkcs11js";
import { SignerError } from "../../lib/errors.ts";
import { describeReturnCode, dispositionOf, returnCodeOf, tokenError } from "../../lib/hsm/return_codes.ts";

const error = (code: number): Error => Object.assign(new Error("native"), { code });

/** The table of the design, by the names of PKCS#11. */
const DISPOSITIONS = {
  caller: [
    "CKR_DATA_LEN_RANGE",
    "CKR_KEY_SIZE_RANGE",
    "CKR_KEY_TYPE_INCONSISTENT",
    "CKR_KEY_FUNCTION_NOT_PERMITTED",
    "CKR_MECHANISM_INVALID",
    "CKR_MECHANISM_PARAM_INVALID",
  ],
  session: ["CKR_SESSION_HANDLE_INVALID", "CKR_SESSION_CLOSED", "CKR_OPERATION_ACTIVE"],
  login: ["CKR_USER_NOT_LOGGED_IN", "CKR_OBJECT_HANDLE_INVALID", "CKR_KEY_HANDLE_INVALID"],
  module: [
    "CKR_CRYPTOKI_NOT_INITIALIZED",
    "CKR_DEVICE_REMOVED",
    "CKR_TOKEN_NOT_PRESENT",
    "CKR_DEVICE_ERROR",
    "CKR_GENERAL_ERROR",
  ],
  busy: ["CKR_FUNCTION_FAILED", "CKR_SESSION_COUNT", "CKR_HOST_MEMORY", "CKR_DEVICE_MEMORY"],
  fatal: [
    "CKR_PIN_INCORRECT",
    "CKR_PIN_INVALID",
    "CKR_PIN_LEN_RANGE",
    "CKR_PIN_LOCKED",
    "CKR_PIN_EXPIRED",
    "CKR_USER_PIN_NOT_INITIALIZED",
    "CKR_USER_TYPE_INVALID",
    "CKR_USER_ANOTHER_ALREADY_LOGGED_IN",
    "CKR_USER_TOO_MANY_TYPES",
  ],
  unknown: ["CKR_ARGUMENTS_BAD", "CKR_BUFFER_TOO_SMALL"],
} as const;

for (const [disposition, names] of Object.entries(DISPOSITIONS)) {
  for (const name of names) {
    test(`${name} has the disposition "${disposition}", and its name in the text`, () => {
      const code: unknown = Reflect.get(pkcs11, name);
      assert.ok(typeof code === "number", `${name} is not a constant of pkcs11js`);
      assert.equal(dispositionOf(error(code)), disposition);
      if (disposition !== "unknown") assert.match(describeReturnCode(code), new RegExp(`^${name} \\(.+\\)$`));
    });
  }
}

test("an error without a return value has the disposition unknown", () => {
  assert.equal(dispositionOf(new TypeError("not from the token")), "unknown");
  assert.equal(dispositionOf("text"), "unknown");
  assert.equal(returnCodeOf(Object.assign(new Error(""), { code: "ENOENT" })), undefined);
});

test("an error of the service stays what it is", () => {
  const original = new SignerError("ERR_SIGN_TIMEOUT", "Cannot sign: late");
  assert.equal(tokenError("sign", original), original);
});

test("an error of the token keeps its cause and says what could not be done", () => {
  const cause = error(pkcs11.CKR_DEVICE_REMOVED);
  const wrapped = tokenError("sign", cause);
  assert.equal(wrapped.code, "ERR_TOKEN_UNAVAILABLE");
  assert.equal(wrapped.message, "Cannot sign: CKR_DEVICE_REMOVED (the token went away)");
  assert.equal(wrapped.cause, cause);
});
