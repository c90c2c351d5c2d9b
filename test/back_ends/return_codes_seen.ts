import { randomBytes } from "node:crypto";
import pkcs11 from "pkcs11js";
import { type ReturnValue, returnValueName } from "../cloudhsm/constants.ts";
import {
  type Attributes,
  CURVES,
  GENERATION,
  type Kind,
  MANDATORY,
  names,
  type RawLibrary,
  template,
} from "../cloudhsm/raw_library.ts";
import { CODE_SWITCHES, type CodeSwitch } from "../cloudhsm/settings.ts";

/** What a module said to something that it may refuse. */
export interface CodeSeen {
  /** The switch of the simulator that stands for it; or the return value, where that is documented. */
  readonly rule: CodeSwitch | ReturnValue;
  readonly what: string;
  /** As in `CKR_OK`; a number where it has no name. */
  readonly code: string;
}

type Attempt = readonly [rule: CodeSeen["rule"], what: string, call: () => unknown];

/**
 * Does wrong, in ways that harm nobody: with session keys that go with the session, and the right PIN. What is
 * left out could lock the user (PIN_FORM, USER_TYPE), use up what others need (SESSION_COUNT), or needs a cluster
 * that fails.
 */
export function returnCodesSeen(raw: RawLibrary, pin: string): CodeSeen[] {
  return [
    ...beforeInitialization(raw),
    ...raw.initialized({}, ({ slot, session }) => {
      const { library } = raw;
      const before = seen([
        ["NOT_LOGGED_IN", "C_Logout without a login", () => library.C_Logout(session)],
        [
          "CKR_FUNCTION_FAILED",
          "C_OpenSession for a read-only session",
          () => library.C_CloseSession(library.C_OpenSession(slot, pkcs11.CKF_SERIAL_SESSION)),
        ],
      ]);
      library.C_Login(session, pkcs11.CKU_USER, pin);
      const again = (): void => library.C_Login(session, pkcs11.CKU_USER, pin);
      return [
        ...before,
        ...seen([
          ["CKR_USER_ALREADY_LOGGED_IN", "a second C_Login", again],
          ...templates(raw, session),
          ...keys(raw, session),
        ]),
      ];
    }),
  ];
}

function beforeInitialization({ library }: RawLibrary): CodeSeen[] {
  const initialize = (): void => {
    library.C_Initialize();
    library.C_Finalize();
  };
  return seen([["LOCKING", "C_Initialize for a single thread", initialize]]);
}

function templates({ library }: RawLibrary, session: Buffer): Attempt[] {
  const generate =
    (kind: Kind, publicHalf: Attributes, privateHalf: Attributes = {}) =>
    (): void => {
      const mechanism = { mechanism: GENERATION[kind] };
      const pair = library.C_GenerateKeyPair(session, mechanism, template(publicHalf), template(privateHalf));
      library.C_DestroyObject(session, pair.publicKey);
      library.C_DestroyObject(session, pair.privateKey);
    };
  const { EC, RSA } = MANDATORY;
  return [
    ["VALUE", "a public key with CKA_PRIVATE false", generate("EC", { ...EC, PRIVATE: false })],
    ["INCOMPLETE", "an EC pair without CKA_EC_PARAMS", generate("EC", {})],
    ["KEY_SIZE", "RSA of 1,024 bits", generate("RSA", { ...RSA, MODULUS_BITS: 1_024 })],
    ["CURVE", "a pair on P-192", generate("EC", { EC_PARAMS: Buffer.from(CURVES["P-192"], "hex") })],
    ["CKR_ATTRIBUTE_READ_ONLY", "a template with CKA_LOCAL", generate("EC", EC, { LOCAL: true })],
    [
      "CKR_TEMPLATE_INCONSISTENT",
      "a template with CKA_ALWAYS_AUTHENTICATE",
      generate("EC", EC, { ALWAYS_AUTHENTICATE: false }),
    ],
  ];
}

function keys(raw: RawLibrary, session: Buffer): Attempt[] {
  const { library } = raw;
  const { privateKey } = raw.pair(session, "EC", { VERIFY: true }, { SIGN: true });
  const ecdsa = { mechanism: pkcs11.CKM_ECDSA };
  const input = randomBytes(32);
  const begin = (): void => library.C_SignInit(session, ecdsa, privateKey);
  const sign = (): unknown => library.C_Sign(session, input, Buffer.alloc(64));
  const read = (name: string) => (): unknown => library.C_GetAttributeValue(session, privateKey, names(name));
  return [
    ["CKR_ATTRIBUTE_TYPE_INVALID", "reading CKA_EC_POINT of a private key", read("EC_POINT")],
    ["CKR_ATTRIBUTE_TYPE_INVALID", "reading CKA_ALWAYS_AUTHENTICATE", read("ALWAYS_AUTHENTICATE")],
    ["CKR_ATTRIBUTE_SENSITIVE", "reading CKA_VALUE of a private key", read("VALUE")],
    ["UNSUPPORTED", "C_GetObjectSize of a key", () => library.C_GetObjectSize(session, privateKey)],
    [
      "MULTI_PART",
      "CKM_ECDSA in parts",
      () => {
        begin();
        library.C_SignUpdate(session, input);
        library.C_SignFinal(session, Buffer.alloc(64));
      },
    ],
    ["NOT_BEGUN", "C_Sign without C_SignInit", sign],
    [
      "OPERATION_ACTIVE",
      "a second C_SignInit on a session",
      () => {
        begin();
        try {
          begin();
        } finally {
          sign();
        }
      },
    ],
    [
      "KEY_HANDLE",
      "C_SignInit with a key that was destroyed",
      () => {
        library.C_DestroyObject(session, privateKey);
        begin();
      },
    ],
  ];
}

const seen = (attempts: readonly Attempt[]): CodeSeen[] =>
  attempts.map(([rule, what, call]) => ({ rule, what, code: codeOf(call) }));

function codeOf(call: () => unknown): string {
  try {
    call();
    return "CKR_OK";
  } catch (error) {
    const { code, message } = error as { code?: unknown; message?: unknown };
    return typeof code === "number" ? returnValueName(code) : String(message);
  }
}

/** What to make of it. */
export function judgement({ rule, code }: CodeSeen): string {
  if (!(rule in CODE_SWITCHES)) return code === rule ? "as documented" : `documented is ${rule}`;
  const [standard, ...others]: readonly string[] = CODE_SWITCHES[rule as CodeSwitch];
  if (code === standard) return "as the simulator has it";
  if (others.includes(code)) return "an alternative of the simulator";
  return code === "CKR_OK" ? "allowed here" : `new: for ${rule} in settings.ts`;
}
