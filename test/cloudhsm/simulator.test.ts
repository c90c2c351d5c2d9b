import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash, createPublicKey, type KeyObject, randomBytes, verify } from "node:crypto";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import pkcs11 from "pkcs11js";
import { temporaryDirectory } from "../support/temporary.ts";
import {
  type CodeSwitch,
  cloudHsmSimulator,
  compile,
  constant,
  type Simulator,
  type SimulatorSettings,
} from "./simulator.ts";

const simulator = cloudHsmSimulator();
const library = new pkcs11.PKCS11();
library.load(simulator.modulePath);
after(() => library.close());

const READ_WRITE = pkcs11.CKF_SERIAL_SESSION | pkcs11.CKF_RW_SESSION;
const EXPONENT = Buffer.from([1, 0, 1]);
const CURVES = {
  "P-224": "06052b81040021",
  "P-256": "06082a8648ce3d030107",
  "P-384": "06052b81040022",
  "P-521": "06052b81040023",
  secp256k1: "06052b8104000a",
  brainpoolP256r1: "06092b2403030208010107",
  "P-192": "06082a8648ce3d030101",
} as const;

/** What a test has while it is inside: an initialized library, its slot, and a session. */
interface Inside {
  readonly slot: Buffer;
  readonly session: Buffer;
}

function initialized<T>(settings: SimulatorSettings, use: (inside: Inside) => T): T {
  simulator.configure(settings);
  library.C_Initialize({ flags: pkcs11.CKF_OS_LOCKING_OK });
  try {
    const [slot = Buffer.alloc(0)] = library.C_GetSlotList(true);
    return use({ slot, session: library.C_OpenSession(slot, READ_WRITE) });
  } finally {
    library.C_Finalize();
  }
}

function loggedIn<T>(settings: SimulatorSettings, use: (inside: Inside) => T): T {
  return initialized(settings, (inside) => {
    library.C_Login(inside.session, pkcs11.CKU_USER, simulator.pin);
    return use(inside);
  });
}

/** That a call is refused with the return value of this name. */
function refused(code: string, call: () => unknown): void {
  assert.throws(call, (error: unknown) => {
    assert.ok(error instanceof Error);
    // Errors of C_SetAttributeValue and C_CopyObject come as they are from pkcs11js: the number is in the text.
    const found = "code" in error ? error.code : Number(/^CKR_\w+:(\d+)/.exec(error.message)?.[1]);
    assert.equal(found, constant(code), `${error.message} where ${code} is due`);
    return true;
  });
}

type Kind = "EC" | "RSA";
type Attributes = Readonly<Record<string, NonNullable<pkcs11.Attribute["value"]>>>;

const template = (attributes: Attributes): pkcs11.Template =>
  Object.entries(attributes).map(([name, value]) => ({ type: constant(`CKA_${name}`), value }));
const names = (...attributes: string[]): pkcs11.Template =>
  attributes.map((name) => ({ type: constant(`CKA_${name}`) }));

const MANDATORY: Readonly<Record<Kind, Attributes>> = {
  EC: { EC_PARAMS: Buffer.from(CURVES["P-256"], "hex") },
  RSA: { MODULUS_BITS: 2048, PUBLIC_EXPONENT: EXPONENT },
};
const GENERATION = { EC: pkcs11.CKM_EC_KEY_PAIR_GEN, RSA: pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN } as const;

/** Generates a pair with no more than these attributes; session objects, unless they say otherwise. */
function pair(
  session: Buffer,
  kind: Kind,
  publicHalf: Attributes = {},
  privateHalf: Attributes = {},
): pkcs11.KeyPair {
  return library.C_GenerateKeyPair(
    session,
    { mechanism: GENERATION[kind] },
    template({ ...MANDATORY[kind], ...publicHalf }),
    template(privateHalf),
  );
}

const signingPair = (session: Buffer, kind: Kind): pkcs11.KeyPair =>
  pair(session, kind, { VERIFY: true }, { SIGN: true });

const read = (session: Buffer, object: Buffer, name: string): Buffer =>
  library.C_GetAttributeValue(session, object, names(name))[0]?.value ?? Buffer.alloc(0);

describe("initialization, slot and sessions", () => {
  test("a library that is promised one thread, or nothing, is not initialized", () => {
    simulator.configure({});
    refused("CKR_CANT_LOCK", () => library.C_Initialize());
    refused("CKR_CANT_LOCK", () => library.C_Initialize({ flags: 0 }));
    simulator.configure({ codes: { LOCKING: "CKR_OK" } });
    library.C_Initialize();
    library.C_Finalize();
  });

  test("there is one slot, whose id no JavaScript number can hold, and its token is hsm1", () => {
    initialized({}, ({ slot }) => {
      assert.equal(library.C_GetSlotList(true).length, 1);
      assert.equal(library.C_GetSlotList(false).length, 1);
      assert.equal(slot.readBigUInt64LE(), 0x2000000000000001n);
      assert.equal(library.C_GetTokenInfo(slot).label.trim(), "hsm1");
      const other = Buffer.from(slot);
      other.writeUInt8(2, 0);
      refused("CKR_SLOT_ID_INVALID", () => library.C_GetTokenInfo(other));
      refused("CKR_SLOT_ID_INVALID", () => library.C_OpenSession(other, READ_WRITE));
    });
  });

  test("a session must be read-write", () => {
    initialized({}, ({ slot }) => {
      refused("CKR_FUNCTION_FAILED", () => library.C_OpenSession(slot, pkcs11.CKF_SERIAL_SESSION));
    });
  });

  for (const code of ["CKR_SESSION_COUNT", "CKR_FUNCTION_FAILED"]) {
    test(`the 1,025th session is refused with ${code}, and one that is closed makes room`, () => {
      initialized({ codes: { SESSION_COUNT: code } }, ({ slot, session }) => {
        for (let open = 1; open < 1_024; open += 1) library.C_OpenSession(slot, READ_WRITE);
        refused(code, () => library.C_OpenSession(slot, READ_WRITE));
        library.C_CloseSession(session);
        refused("CKR_SESSION_HANDLE_INVALID", () => library.C_GetSessionInfo(session));
        library.C_OpenSession(slot, READ_WRITE);
      });
    });
  }

  test("handles of sessions and objects differ after each C_Initialize, and the old ones are refused", () => {
    const id = randomBytes(8);
    const first = loggedIn({}, ({ session }) => {
      const { privateKey } = pair(session, "EC", { TOKEN: true, ID: id }, { TOKEN: true, ID: id });
      return { session, privateKey };
    });
    loggedIn({}, ({ session }) => {
      library.C_FindObjectsInit(session, template({ ID: id, CLASS: pkcs11.CKO_PRIVATE_KEY }));
      const [again = Buffer.alloc(0)] = library.C_FindObjects(session, 10);
      library.C_FindObjectsFinal(session);
      assert.notDeepEqual(again, first.privateKey);
      assert.notDeepEqual(session, first.session);
      assert.deepEqual(read(session, again, "ID"), id);
      refused("CKR_OBJECT_HANDLE_INVALID", () => read(session, first.privateKey, "ID"));
      refused("CKR_SESSION_HANDLE_INVALID", () => read(first.session, again, "ID"));
    });
  });
});

/** The text of a process that uses the library: initialized, with a session, logged in. */
function beginOn({ modulePath, pin }: Simulator): string {
  return `
    const { default: pkcs11 } = await import("pkcs11js");
    const library = new pkcs11.PKCS11();
    library.load(${JSON.stringify(modulePath)});
    library.C_Initialize({ flags: pkcs11.CKF_OS_LOCKING_OK });
    const session = library.C_OpenSession(library.C_GetSlotList(true)[0], ${READ_WRITE});
    library.C_Login(session, pkcs11.CKU_USER, ${JSON.stringify(pin)});`;
}

describe("the login", () => {
  test("a second login, on whichever session, is refused without a look at its PIN", () => {
    loggedIn({}, ({ slot, session }) => {
      const before = simulator.pinsRefused();
      for (const on of [session, library.C_OpenSession(slot, READ_WRITE)]) {
        refused("CKR_USER_ALREADY_LOGGED_IN", () => library.C_Login(on, pkcs11.CKU_USER, "signer:wrong"));
      }
      assert.equal(simulator.pinsRefused(), before);
    });
  });

  for (const code of ["CKR_PIN_INCORRECT", "CKR_ARGUMENTS_BAD"]) {
    test(`a PIN without a user is refused with ${code}, though it is SoftHSM2's own`, () => {
      initialized({ codes: { PIN_FORM: code } }, ({ session }) => {
        const before = simulator.pinsRefused();
        const [, password = ""] = simulator.pin.split(":");
        for (const pin of [password, `:${password}`]) {
          refused(code, () => library.C_Login(session, pkcs11.CKU_USER, pin));
        }
        assert.equal(simulator.pinsRefused(), before + 2);
      });
    });
  }

  test("a user who is not there, and the security officer, are refused", () => {
    initialized({}, ({ session }) => {
      const pin = simulator.pin.replace("signer", "nobody");
      refused("CKR_PIN_INCORRECT", () => library.C_Login(session, pkcs11.CKU_USER, pin));
      refused("CKR_USER_TYPE_INVALID", () => library.C_Login(session, pkcs11.CKU_SO, simulator.pin));
    });
  });

  test("wrong PINs in a row lock the user, over processes; the right one before that starts anew", () => {
    const own = cloudHsmSimulator({ pinTries: 2 });
    const says = (...pins: string[]): string => {
      const script = `
        const { default: pkcs11 } = await import("pkcs11js");
        const library = new pkcs11.PKCS11();
        library.load(${JSON.stringify(own.modulePath)});
        library.C_Initialize({ flags: pkcs11.CKF_OS_LOCKING_OK });
        const session = library.C_OpenSession(library.C_GetSlotList(true)[0], ${READ_WRITE});
        for (const pin of ${JSON.stringify(pins)}) {
          try { library.C_Login(session, pkcs11.CKU_USER, pin); console.log("in"); library.C_Logout(session); }
          catch (error) { console.log(error.message); }
        }`;
      return run(script, own.environment).stdout.replaceAll("\n", " ").trim();
    };
    const wrong = "signer:wrong-4711";
    assert.equal(says(wrong, own.pin, wrong), "CKR_PIN_INCORRECT in CKR_PIN_INCORRECT");
    assert.equal(says(wrong, own.pin), "CKR_PIN_INCORRECT CKR_PIN_LOCKED");
    assert.equal(own.pinsRefused(), 3);
    simulator.configure({});
  });
});

/** Runs a module of its own process, which may end as it must. */
function run(
  script: string,
  environment: Readonly<Record<string, string>>,
): { stdout: string; stderr: string } {
  return spawnSync(process.execPath, ["--input-type=module", "-e", script], {
    encoding: "utf8",
    env: { ...process.env, ...environment },
  });
}

describe("what CloudHSM does not have", () => {
  const buffer = Buffer.alloc(64);
  const calls: Readonly<Record<string, (inside: Inside, key: Buffer) => unknown>> = {
    C_SetAttributeValue: ({ session }, key) =>
      library.C_SetAttributeValue(session, key, template({ LABEL: "other" })),
    C_CopyObject: ({ session }, key) => library.C_CopyObject(session, key, template({ LABEL: "copy" })),
    C_GetObjectSize: ({ session }, key) => library.C_GetObjectSize(session, key),
    C_SeedRandom: ({ session }) => library.C_SeedRandom(session, buffer),
    C_InitToken: ({ slot }) => library.C_InitToken(slot, "1234", "again"),
    C_InitPIN: ({ session }) => library.C_InitPIN(session, "1234"),
    C_SetPIN: ({ session }) => library.C_SetPIN(session, "1234", "4321"),
    C_SignRecoverInit: ({ session }, key) =>
      library.C_SignRecoverInit(session, { mechanism: pkcs11.CKM_RSA_PKCS }, key),
    C_VerifyRecoverInit: ({ session }, key) =>
      library.C_VerifyRecoverInit(session, { mechanism: pkcs11.CKM_RSA_PKCS }, key),
    C_DigestEncryptUpdate: ({ session }) => library.C_DigestEncryptUpdate(session, buffer, buffer),
    C_WaitForSlotEvent: () => library.C_WaitForSlotEvent(1),
  };
  for (const code of ["CKR_FUNCTION_NOT_SUPPORTED", "CKR_FUNCTION_FAILED"]) {
    test(`is refused with ${code}: ${Object.keys(calls).join(", ")}`, () => {
      loggedIn({ codes: { UNSUPPORTED: code } }, (inside) => {
        const { privateKey } = signingPair(inside.session, "EC");
        for (const call of Object.values(calls)) refused(code, () => call(inside, privateKey));
      });
    });
  }

  test("objects that are no keys can be changed", () => {
    loggedIn({}, ({ session }) => {
      const data = library.C_CreateObject(
        session,
        template({ CLASS: pkcs11.CKO_DATA, LABEL: "a", VALUE: buffer }),
      );
      library.C_SetAttributeValue(session, data, template({ LABEL: "b" }));
      assert.equal(read(session, data, "LABEL").toString(), "b");
    });
  });
});

describe("templates of key pairs", () => {
  /** A template, for which half, and how it is refused. */
  const refusals: readonly (readonly [Kind, "public" | "private", Attributes, string, CodeSwitch?])[] = [
    ["EC", "public", { PRIVATE: false }, "CKR_ATTRIBUTE_VALUE_INVALID", "VALUE"],
    ["RSA", "private", { PRIVATE: false }, "CKR_ATTRIBUTE_VALUE_INVALID", "VALUE"],
    ["EC", "private", { SENSITIVE: false }, "CKR_ATTRIBUTE_VALUE_INVALID", "VALUE"],
    ["RSA", "public", { DERIVE: true }, "CKR_ATTRIBUTE_VALUE_INVALID", "VALUE"],
    ["EC", "public", { DERIVE: true }, "CKR_ATTRIBUTE_VALUE_INVALID", "VALUE"],
    ["EC", "public", { SIGN: true }, "CKR_TEMPLATE_INCONSISTENT"],
    ["RSA", "private", { VERIFY: true }, "CKR_TEMPLATE_INCONSISTENT"],
    ["RSA", "private", { ENCRYPT: true }, "CKR_TEMPLATE_INCONSISTENT"],
    ["EC", "public", { DECRYPT: false }, "CKR_TEMPLATE_INCONSISTENT"],
    ["RSA", "private", { WRAP: true }, "CKR_TEMPLATE_INCONSISTENT"],
    ["EC", "public", { UNWRAP: true }, "CKR_TEMPLATE_INCONSISTENT"],
    ["RSA", "public", { SENSITIVE: true }, "CKR_TEMPLATE_INCONSISTENT"],
    ["EC", "public", { EXTRACTABLE: true }, "CKR_TEMPLATE_INCONSISTENT"],
    ["RSA", "private", { SIGN_RECOVER: true }, "CKR_TEMPLATE_INCONSISTENT"],
    ["RSA", "public", { VERIFY_RECOVER: false }, "CKR_TEMPLATE_INCONSISTENT"],
    ["EC", "private", { TRUSTED: false }, "CKR_TEMPLATE_INCONSISTENT"],
    ["EC", "public", { WRAP_WITH_TRUSTED: false }, "CKR_TEMPLATE_INCONSISTENT"],
    ["EC", "private", { EC_PARAMS: Buffer.from(CURVES["P-256"], "hex") }, "CKR_TEMPLATE_INCONSISTENT"],
    ["EC", "public", { MODULUS_BITS: 2048 }, "CKR_TEMPLATE_INCONSISTENT"],
    ["RSA", "private", { PUBLIC_EXPONENT: EXPONENT }, "CKR_TEMPLATE_INCONSISTENT"],
    ["RSA", "public", { MODULUS: EXPONENT }, "CKR_TEMPLATE_INCONSISTENT"],
    ["EC", "private", { ALWAYS_AUTHENTICATE: false }, "CKR_TEMPLATE_INCONSISTENT"],
    ["RSA", "private", { SUBJECT: Buffer.from("3000", "hex") }, "CKR_TEMPLATE_INCONSISTENT"],
    ["RSA", "private", { COPYABLE: true }, "CKR_TEMPLATE_INCONSISTENT"],
    ["EC", "private", { LOCAL: true }, "CKR_ATTRIBUTE_READ_ONLY"],
    ["RSA", "public", { LOCAL: true }, "CKR_ATTRIBUTE_READ_ONLY"],
    ["EC", "private", { ALWAYS_SENSITIVE: true }, "CKR_ATTRIBUTE_READ_ONLY"],
    ["EC", "public", { ALWAYS_SENSITIVE: true }, "CKR_TEMPLATE_INCONSISTENT"],
    ["RSA", "private", { NEVER_EXTRACTABLE: true }, "CKR_ATTRIBUTE_READ_ONLY"],
    ["RSA", "public", { MODULUS_BITS: 1024 }, "CKR_ATTRIBUTE_VALUE_INVALID", "KEY_SIZE"],
    ["RSA", "public", { MODULUS_BITS: 2100 }, "CKR_ATTRIBUTE_VALUE_INVALID", "KEY_SIZE"],
    ["RSA", "public", { MODULUS_BITS: 8192 }, "CKR_ATTRIBUTE_VALUE_INVALID", "KEY_SIZE"],
    [
      "EC",
      "public",
      { EC_PARAMS: Buffer.from(CURVES["P-192"], "hex") },
      "CKR_ATTRIBUTE_VALUE_INVALID",
      "CURVE",
    ],
    [
      "EC",
      "public",
      { EC_PARAMS: Buffer.from(CURVES.brainpoolP256r1, "hex") },
      "CKR_ATTRIBUTE_VALUE_INVALID",
      "CURVE",
    ],
  ];
  const generate = ({ session }: Inside, kind: Kind, half: string, attributes: Attributes): pkcs11.KeyPair =>
    half === "public" ? pair(session, kind, attributes) : pair(session, kind, {}, attributes);

  test("are refused for what the attribute table does not allow", () => {
    loggedIn({}, (inside) => {
      for (const [kind, half, attributes, code] of refusals) {
        refused(code, () => generate(inside, kind, half, attributes));
      }
    });
  });

  test("are refused with the other return value where that is a switch", () => {
    const codes: Readonly<Partial<Record<CodeSwitch, string>>> = {
      VALUE: "CKR_TEMPLATE_INCONSISTENT",
      KEY_SIZE: "CKR_KEY_SIZE_RANGE",
      CURVE: "CKR_CURVE_NOT_SUPPORTED",
    };
    loggedIn({ codes }, (inside) => {
      for (const [kind, half, attributes, , rule] of refusals) {
        if (rule !== undefined) refused(codes[rule] ?? "", () => generate(inside, kind, half, attributes));
      }
    });
  });

  for (const code of ["CKR_TEMPLATE_INCOMPLETE", "CKR_TEMPLATE_INCONSISTENT"]) {
    test(`that lack what is mandatory are refused with ${code}`, () => {
      loggedIn({ codes: { INCOMPLETE: code } }, ({ session }) => {
        for (const [kind, left] of [
          ["RSA", { MODULUS_BITS: 2048 }],
          ["RSA", { PUBLIC_EXPONENT: EXPONENT }],
          ["EC", {}],
        ] satisfies [Kind, Attributes][]) {
          const mechanism = { mechanism: GENERATION[kind] };
          refused(code, () => library.C_GenerateKeyPair(session, mechanism, template(left), []));
        }
      });
    });
  }

  test("that say nothing more get CloudHSM's standard values, which are not SoftHSM2's", () => {
    loggedIn({}, ({ session }) => {
      for (const kind of ["EC", "RSA"] as const) {
        const { privateKey, publicKey } = pair(session, kind);
        const flags = (key: Buffer, ...attributes: string[]): Record<string, boolean> =>
          Object.fromEntries(attributes.map((name) => [name, read(session, key, name)[0] === 1]));
        assert.deepEqual(
          flags(privateKey, "TOKEN", "PRIVATE", "SIGN", "DERIVE", "SENSITIVE", "EXTRACTABLE", "MODIFIABLE"),
          {
            TOKEN: false,
            PRIVATE: true,
            SIGN: false,
            DERIVE: false,
            SENSITIVE: true,
            EXTRACTABLE: true,
            MODIFIABLE: true,
          },
        );
        assert.deepEqual(flags(publicKey, "TOKEN", "PRIVATE", "VERIFY", "DERIVE", "DESTROYABLE"), {
          TOKEN: false,
          PRIVATE: true,
          VERIFY: false,
          DERIVE: false,
          DESTROYABLE: true,
        });
        const mechanism = kind === "EC" ? pkcs11.CKM_ECDSA : pkcs11.CKM_RSA_PKCS;
        refused("CKR_KEY_FUNCTION_NOT_PERMITTED", () =>
          library.C_SignInit(session, { mechanism }, privateKey),
        );
      }
    });
  });

  test("for five curves, for RSA in steps of 256 bits, and by CKM_RSA_X9_31_KEY_PAIR_GEN, make a pair", () => {
    loggedIn({}, ({ session }) => {
      for (const name of ["P-224", "P-256", "P-384", "P-521", "secp256k1"] as const) {
        pair(session, "EC", { EC_PARAMS: Buffer.from(CURVES[name], "hex") });
      }
      const { publicKey } = pair(session, "RSA", { MODULUS_BITS: 2304 });
      assert.equal(read(session, publicKey, "MODULUS").length, 288);
      const x931 = { mechanism: pkcs11.CKM_RSA_X9_31_KEY_PAIR_GEN };
      library.C_GenerateKeyPair(session, x931, template(MANDATORY.RSA), []);
    });
  });
});

describe("C_GetAttributeValue", () => {
  const common = [
    ...["CLASS", "KEY_TYPE", "LABEL", "ID", "LOCAL", "TOKEN", "PRIVATE", "DERIVE", "MODIFIABLE"],
    ...["DESTROYABLE", "CHECK_VALUE", "ALWAYS_SENSITIVE"],
  ];
  const readable: Readonly<Record<`${Kind} ${"private" | "public"}`, readonly string[]>> = {
    "EC private": [...common, "SIGN", "SENSITIVE", "EXTRACTABLE", "NEVER_EXTRACTABLE", "EC_PARAMS"],
    "EC public": [...common, "VERIFY", "EC_PARAMS", "EC_POINT"],
    "RSA private": [
      ...[...common, "SIGN", "SENSITIVE", "EXTRACTABLE", "NEVER_EXTRACTABLE"],
      ...["MODULUS", "PUBLIC_EXPONENT"],
    ],
    "RSA public": [...common, "VERIFY", "MODULUS", "PUBLIC_EXPONENT", "MODULUS_BITS"],
  };
  const material = {
    EC: ["VALUE"],
    RSA: ["PRIVATE_EXPONENT", "PRIME_1", "PRIME_2", "EXPONENT_1", "EXPONENT_2", "COEFFICIENT"],
  } as const;
  const others = [
    "ALWAYS_AUTHENTICATE",
    "SUBJECT",
    "START_DATE",
    "COPYABLE",
    "ALLOWED_MECHANISMS",
    "DECRYPT",
  ];

  for (const kind of ["EC", "RSA"] as const) {
    for (const half of ["private", "public"] as const) {
      test(`reads of an ${kind} ${half} key what its table allows, and nothing else`, () => {
        loggedIn({}, ({ session }) => {
          const keys = signingPair(session, kind);
          const key = half === "private" ? keys.privateKey : keys.publicKey;
          const allowed = readable[`${kind} ${half}`];
          const secret: readonly string[] = half === "private" ? material[kind] : [];
          for (const name of allowed) read(session, key, name);
          for (const name of secret) refused("CKR_ATTRIBUTE_SENSITIVE", () => read(session, key, name));
          const every = new Set([
            ...Object.values(readable).flat(),
            ...material.EC,
            ...material.RSA,
            ...others,
          ]);
          for (const name of [...every].filter((name) => !allowed.includes(name) && !secret.includes(name))) {
            refused("CKR_ATTRIBUTE_TYPE_INVALID", () => read(session, key, name));
          }
        });
      });
    }
  }

  test("fails as a whole for one attribute that cannot be read, as pkcs11js has it", () => {
    loggedIn({}, ({ session }) => {
      const { privateKey } = signingPair(session, "EC");
      refused("CKR_ATTRIBUTE_TYPE_INVALID", () =>
        library.C_GetAttributeValue(session, privateKey, names("ID", "EC_POINT", "LABEL")),
      );
    });
  });
});

test("one C_GetAttributeValue fills in what can be read beside what cannot", () => {
  const own = cloudHsmSimulator();
  const reader = join(temporaryDirectory(), "partial_read");
  compile("partial_read.c", reader);
  const script = `${beginOn(own)}
    library.C_GenerateKeyPair(session, { mechanism: pkcs11.CKM_EC_KEY_PAIR_GEN },
      [{ type: pkcs11.CKA_EC_PARAMS, value: Buffer.from("${CURVES["P-256"]}", "hex") }],
      [{ type: pkcs11.CKA_TOKEN, value: true }, { type: pkcs11.CKA_ID, value: Buffer.from("an-id") },
       { type: pkcs11.CKA_LABEL, value: "a-label" }]);`;
  assert.equal(run(script, own.environment).stderr, "");
  const said = spawnSync(reader, [own.modulePath, own.pin], {
    encoding: "utf8",
    env: { ...own.environment },
  });
  assert.equal(
    said.stdout,
    `0x${constant("CKR_ATTRIBUTE_TYPE_INVALID").toString(16)} 5 -1 7 an-id a-label\n`,
  );
  simulator.configure({});
});

describe("mechanisms", () => {
  test("every one of the list has its facts, and no other one has any", () => {
    initialized({}, ({ slot }) => {
      const list = library.C_GetMechanismList(slot);
      for (const mechanism of list) assert.ok(library.C_GetMechanismInfo(slot, mechanism).flags !== 0);
      const { minKeySize, maxKeySize } = library.C_GetMechanismInfo(slot, pkcs11.CKM_RSA_PKCS_PSS);
      assert.deepEqual([minKeySize, maxKeySize], [2048, 4096]);
      for (const other of [pkcs11.CKM_RSA_X_509, pkcs11.CKM_DSA, pkcs11.CKM_MD5_RSA_PKCS, pkcs11.CKM_MD5]) {
        assert.ok(!list.includes(other));
        refused("CKR_MECHANISM_INVALID", () => library.C_GetMechanismInfo(slot, other));
      }
    });
  });

  test("other ones, and those of another use, are refused", () => {
    loggedIn({}, ({ session }) => {
      const { privateKey } = signingPair(session, "RSA");
      for (const mechanism of [pkcs11.CKM_RSA_X_509, pkcs11.CKM_MD5_RSA_PKCS, pkcs11.CKM_SHA256]) {
        refused("CKR_MECHANISM_INVALID", () => library.C_SignInit(session, { mechanism }, privateKey));
      }
      refused("CKR_MECHANISM_INVALID", () => library.C_DigestInit(session, { mechanism: pkcs11.CKM_MD5 }));
      const dsa = { mechanism: pkcs11.CKM_DSA_KEY_PAIR_GEN };
      refused("CKR_MECHANISM_INVALID", () => library.C_GenerateKeyPair(session, dsa, [], []));
    });
  });

  const pss = {
    mechanism: pkcs11.CKM_RSA_PKCS_PSS,
    parameter: {
      type: pkcs11.CK_PARAMS_RSA_PSS,
      hashAlg: pkcs11.CKM_SHA256,
      mgf: pkcs11.CKG_MGF1_SHA256,
      saltLen: 32,
    },
  };
  for (const code of ["CKR_MECHANISM_INVALID", "CKR_FUNCTION_NOT_SUPPORTED"]) {
    test(`CKM_RSA_PKCS, CKM_RSA_PKCS_PSS and CKM_ECDSA in parts are refused with ${code}`, () => {
      loggedIn({ codes: { MULTI_PART: code } }, ({ session }) => {
        const rsa = signingPair(session, "RSA");
        const ec = signingPair(session, "EC");
        for (const [mechanism, keys] of [
          [{ mechanism: pkcs11.CKM_RSA_PKCS }, rsa],
          [pss, rsa],
          [{ mechanism: pkcs11.CKM_ECDSA }, ec],
        ] as const) {
          library.C_SignInit(session, mechanism, keys.privateKey);
          refused(code, () => library.C_SignUpdate(session, Buffer.alloc(32)));
          library.C_VerifyInit(session, mechanism, keys.publicKey);
          refused(code, () => library.C_VerifyUpdate(session, Buffer.alloc(32)));
        }
      });
    });
  }

  test("CKM_ECDSA_SHA*, in one part and in several, give a signature that verifies here and there", () => {
    loggedIn({}, ({ session }) => {
      const { privateKey, publicKey } = signingPair(session, "EC");
      const software = p256PublicKey(read(session, publicKey, "EC_POINT"));
      const data = randomBytes(300);
      for (const hash of ["sha1", "sha224", "sha256", "sha384", "sha512"]) {
        const mechanism = { mechanism: constant(`CKM_ECDSA_${hash.toUpperCase()}`) };
        library.C_SignInit(session, mechanism, privateKey);
        const whole = library.C_Sign(session, data, Buffer.alloc(64));
        library.C_SignInit(session, mechanism, privateKey);
        library.C_SignUpdate(session, data.subarray(0, 100));
        library.C_SignUpdate(session, data.subarray(100));
        const parts = library.C_SignFinal(session, Buffer.alloc(64));
        for (const signature of [whole, parts]) {
          assert.ok(verify(hash, data, { key: software, dsaEncoding: "ieee-p1363" }, signature), hash);
          library.C_VerifyInit(session, mechanism, publicKey);
          assert.ok(library.C_Verify(session, data, signature), hash);
          library.C_VerifyInit(session, { mechanism: pkcs11.CKM_ECDSA }, publicKey);
          assert.ok(library.C_Verify(session, createHash(hash).update(data).digest(), signature), hash);
        }
        refused("CKR_KEY_TYPE_INCONSISTENT", () => library.C_SignInit(session, mechanism, publicKey));
      }
    });
  });
});

function p256PublicKey(point: Buffer): KeyObject {
  const xy = point.subarray(-64);
  const [x, y] = [xy.subarray(0, 32).toString("base64url"), xy.subarray(32).toString("base64url")];
  return createPublicKey({ key: { kty: "EC", crv: "P-256", x, y }, format: "jwk" });
}

describe("the count of requests", () => {
  for (const [validatesKeyAtInit, requests] of [
    [true, 2],
    [false, 1],
  ] as const) {
    test(`a signature costs ${requests} when C_SignInit ${validatesKeyAtInit ? "asks" : "does not ask"} for the key`, () => {
      loggedIn({ validatesKeyAtInit }, ({ session }) => {
        const { privateKey } = signingPair(session, "EC");
        const before = { all: simulator.clusterRequests(), sign: simulator.calls("C_Sign") };
        library.C_SignInit(session, { mechanism: pkcs11.CKM_ECDSA }, privateKey);
        library.C_Sign(session, Buffer.alloc(32, 1), Buffer.alloc(64));
        assert.equal(simulator.clusterRequests() - before.all, requests);
        assert.equal(simulator.calls("C_Sign") - before.sign, 1);
      });
    });
  }

  test("a read that asks for the length first, as pkcs11js does, costs two; a find costs each of its calls", () => {
    loggedIn({}, ({ session }) => {
      const { privateKey } = signingPair(session, "EC");
      const before = simulator.clusterRequests();
      read(session, privateKey, "ID");
      assert.equal(simulator.clusterRequests() - before, 2);
      library.C_FindObjectsInit(session, []);
      library.C_FindObjects(session, 10);
      library.C_FindObjectsFinal(session);
      assert.equal(simulator.clusterRequests() - before, 5);
    });
  });
});

describe("what CloudHSM leaves undefined ends the process", () => {
  const begin = `${beginOn(simulator)}
    const generate = () => library.C_GenerateKeyPairAsync(session, { mechanism: pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN },
      [{ type: pkcs11.CKA_MODULUS_BITS, value: 4096 },
       { type: pkcs11.CKA_PUBLIC_EXPONENT, value: Buffer.from([1, 0, 1]) }], []);
    generate();
    await new Promise((resolve) => setTimeout(resolve, 20));`;

  for (const [what, call, complaint] of [
    ["two threads on one session", "generate();", "two threads use one session at once"],
    [
      "another call on a session that is busy",
      "library.C_GetSessionInfo(session);",
      "two threads use one session",
    ],
    [
      "C_Finalize under a running call",
      "library.C_Finalize();",
      "a session is taken away from another thread",
    ],
  ] as const) {
    test(`${what}, and it says so`, () => {
      simulator.configure({});
      const { stderr } = run(`${begin}\n${call}\nawait new Promise((r) => setTimeout(r, 10000));`, {});
      assert.match(stderr, new RegExp(`cloudhsm simulator: ${complaint}`));
    });
  }
});
