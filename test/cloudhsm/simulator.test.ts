import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash, randomBytes, verify } from "node:crypto";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import pkcs11 from "pkcs11js";
import { compile } from "../support/compile.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { constant, type ReturnValue } from "./constants.ts";
import {
  type Attributes,
  beginOn,
  CURVES,
  EXPONENT,
  GENERATION,
  type Inside,
  isSignature,
  type Kind,
  MANDATORY,
  names,
  RawLibrary,
  READ_WRITE,
  refused,
  run,
  template,
} from "./raw_library.ts";
import { CODE_SWITCHES, type CodeSwitch } from "./settings.ts";
import { cloudHsmSimulator } from "./simulator.ts";

const simulator = cloudHsmSimulator();
const raw = new RawLibrary(simulator);
const { library } = raw;
after(() => library.close());
const PSS = {
  mechanism: pkcs11.CKM_RSA_PKCS_PSS,
  parameter: {
    type: pkcs11.CK_PARAMS_RSA_PSS,
    hashAlg: pkcs11.CKM_SHA256,
    mgf: pkcs11.CKG_MGF1_SHA256,
    saltLen: 32,
  },
};

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
    raw.initialized({}, ({ slot }) => {
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
    raw.initialized({}, ({ slot }) => {
      refused("CKR_FUNCTION_FAILED", () => library.C_OpenSession(slot, pkcs11.CKF_SERIAL_SESSION));
    });
  });

  for (const code of CODE_SWITCHES.SESSION_COUNT) {
    test(`the 1,025th session is refused with ${code}, and one that is closed makes room`, () => {
      raw.initialized({ codes: { SESSION_COUNT: code } }, ({ slot, session }) => {
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
    const first = raw.loggedIn({}, ({ session }) => {
      const { privateKey } = raw.pair(session, "EC", { TOKEN: true, ID: id }, { TOKEN: true, ID: id });
      return { session, privateKey };
    });
    raw.loggedIn({}, ({ session }) => {
      const again = raw.find(session, id);
      assert.notDeepEqual(again, first.privateKey);
      assert.notDeepEqual(session, first.session);
      assert.deepEqual(raw.read(session, again, "ID"), id);
      refused("CKR_OBJECT_HANDLE_INVALID", () => raw.read(session, first.privateKey, "ID"));
      refused("CKR_SESSION_HANDLE_INVALID", () => raw.read(first.session, again, "ID"));
    });
  });
});

describe("the login", () => {
  test("a second login, on whichever session, is refused without a look at its PIN", () => {
    raw.loggedIn({}, ({ slot, session }) => {
      const before = simulator.pinsRefused();
      for (const on of [session, library.C_OpenSession(slot, READ_WRITE)]) {
        refused("CKR_USER_ALREADY_LOGGED_IN", () => library.C_Login(on, pkcs11.CKU_USER, "signer:wrong"));
      }
      assert.equal(simulator.pinsRefused(), before);
    });
  });

  for (const code of CODE_SWITCHES.PIN_FORM) {
    test(`a PIN without a user is refused with ${code}, though it is SoftHSM2's own`, () => {
      raw.initialized({ codes: { PIN_FORM: code } }, ({ session }) => {
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
    raw.initialized({}, ({ session }) => {
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
  for (const code of CODE_SWITCHES.UNSUPPORTED) {
    test(`is refused with ${code}: ${Object.keys(calls).join(", ")}`, () => {
      raw.loggedIn({ codes: { UNSUPPORTED: code } }, (inside) => {
        const { privateKey } = raw.signingPair(inside.session, "EC");
        for (const call of Object.values(calls)) refused(code, () => call(inside, privateKey));
      });
    });
  }

  test("objects that are no keys can be changed", () => {
    raw.loggedIn({}, ({ session }) => {
      const data = library.C_CreateObject(
        session,
        template({ CLASS: pkcs11.CKO_DATA, LABEL: "a", VALUE: buffer }),
      );
      library.C_SetAttributeValue(session, data, template({ LABEL: "b" }));
      assert.equal(raw.read(session, data, "LABEL").toString(), "b");
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
    half === "public" ? raw.pair(session, kind, attributes) : raw.pair(session, kind, {}, attributes);

  test("are refused for what the attribute table does not allow", () => {
    raw.loggedIn({}, (inside) => {
      for (const [kind, half, attributes, code] of refusals) {
        refused(code, () => generate(inside, kind, half, attributes));
      }
    });
  });

  test("are refused with the other return value where that is a switch", () => {
    const codes: Readonly<Partial<Record<CodeSwitch, ReturnValue>>> = {
      VALUE: "CKR_TEMPLATE_INCONSISTENT",
      KEY_SIZE: "CKR_KEY_SIZE_RANGE",
      CURVE: "CKR_CURVE_NOT_SUPPORTED",
    };
    raw.loggedIn({ codes }, (inside) => {
      for (const [kind, half, attributes, , rule] of refusals) {
        if (rule !== undefined) refused(codes[rule] ?? "", () => generate(inside, kind, half, attributes));
      }
    });
  });

  for (const code of CODE_SWITCHES.INCOMPLETE) {
    test(`that lack what is mandatory are refused with ${code}`, () => {
      raw.loggedIn({ codes: { INCOMPLETE: code } }, ({ session }) => {
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
    raw.loggedIn({}, ({ session }) => {
      for (const kind of ["EC", "RSA"] as const) {
        const { privateKey, publicKey } = raw.pair(session, kind);
        const flags = (key: Buffer, ...attributes: string[]): Record<string, boolean> =>
          Object.fromEntries(attributes.map((name) => [name, raw.read(session, key, name)[0] === 1]));
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
    raw.loggedIn({}, ({ session }) => {
      for (const name of ["P-224", "P-256", "P-384", "P-521", "secp256k1"] as const) {
        raw.pair(session, "EC", { EC_PARAMS: Buffer.from(CURVES[name], "hex") });
      }
      const { publicKey } = raw.pair(session, "RSA", { MODULUS_BITS: 2304 });
      assert.equal(raw.read(session, publicKey, "MODULUS").length, 288);
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
        raw.loggedIn({}, ({ session }) => {
          const keys = raw.signingPair(session, kind);
          const key = half === "private" ? keys.privateKey : keys.publicKey;
          const allowed = readable[`${kind} ${half}`];
          const secret: readonly string[] = half === "private" ? material[kind] : [];
          for (const name of allowed) raw.read(session, key, name);
          for (const name of secret) refused("CKR_ATTRIBUTE_SENSITIVE", () => raw.read(session, key, name));
          const every = new Set([
            ...Object.values(readable).flat(),
            ...material.EC,
            ...material.RSA,
            ...others,
          ]);
          for (const name of [...every].filter((name) => !allowed.includes(name) && !secret.includes(name))) {
            refused("CKR_ATTRIBUTE_TYPE_INVALID", () => raw.read(session, key, name));
          }
        });
      });
    }
  }

  test("fails as a whole for one attribute that cannot be read, as pkcs11js has it", () => {
    raw.loggedIn({}, ({ session }) => {
      const { privateKey } = raw.signingPair(session, "EC");
      refused("CKR_ATTRIBUTE_TYPE_INVALID", () =>
        library.C_GetAttributeValue(session, privateKey, names("ID", "EC_POINT", "LABEL")),
      );
    });
  });
});

test("one C_GetAttributeValue fills in what can be read beside what cannot", () => {
  const own = cloudHsmSimulator();
  const reader = join(temporaryDirectory(), "partial_read");
  compile(["test/cloudhsm/partial_read.c"], reader);
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
    raw.initialized({}, ({ slot }) => {
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
    raw.loggedIn({}, ({ session }) => {
      const { privateKey } = raw.signingPair(session, "RSA");
      for (const mechanism of [pkcs11.CKM_RSA_X_509, pkcs11.CKM_MD5_RSA_PKCS, pkcs11.CKM_SHA256]) {
        refused("CKR_MECHANISM_INVALID", () => library.C_SignInit(session, { mechanism }, privateKey));
      }
      refused("CKR_MECHANISM_INVALID", () => library.C_DigestInit(session, { mechanism: pkcs11.CKM_MD5 }));
      const dsa = { mechanism: pkcs11.CKM_DSA_KEY_PAIR_GEN };
      refused("CKR_MECHANISM_INVALID", () => library.C_GenerateKeyPair(session, dsa, [], []));
    });
  });

  for (const code of CODE_SWITCHES.MULTI_PART) {
    test(`CKM_RSA_PKCS, CKM_RSA_PKCS_PSS and CKM_ECDSA in parts are refused with ${code}`, () => {
      raw.loggedIn({ codes: { MULTI_PART: code } }, ({ session }) => {
        const rsa = raw.signingPair(session, "RSA");
        const ec = raw.signingPair(session, "EC");
        for (const [mechanism, keys] of [
          [{ mechanism: pkcs11.CKM_RSA_PKCS }, rsa],
          [PSS, rsa],
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
    raw.loggedIn({}, ({ session }) => {
      const { privateKey, publicKey } = raw.signingPair(session, "EC");
      const software = raw.publicKey(session, publicKey);
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

describe("calls out of order", () => {
  const ecdsa = { mechanism: pkcs11.CKM_ECDSA };
  const input = randomBytes(32);
  const sign = (session: Buffer): Buffer => library.C_Sign(session, input, Buffer.alloc(64));

  for (const code of CODE_SWITCHES.OPERATION_ACTIVE) {
    test(`a second C_SignInit on a session gets ${code}`, () => {
      raw.loggedIn({ codes: { OPERATION_ACTIVE: code } }, ({ session }) => {
        const { privateKey, publicKey } = raw.signingPair(session, "EC");
        const begin = (): void => library.C_SignInit(session, ecdsa, privateKey);
        begin();
        if (code === "CKR_OK") begin();
        else refused(code, begin);
        const signature = sign(session);
        library.C_VerifyInit(session, ecdsa, publicKey);
        assert.ok(library.C_Verify(session, input, signature));
      });
    });
  }

  for (const code of CODE_SWITCHES.NOT_BEGUN) {
    test(`a C_Sign without C_SignInit gets ${code}${code === "CKR_OK" ? ", and what is no signature" : ""}`, () => {
      raw.loggedIn({ codes: { NOT_BEGUN: code } }, ({ session }) => {
        const { privateKey, publicKey } = raw.signingPair(session, "EC");
        library.C_SignInit(session, ecdsa, privateKey);
        sign(session);
        if (code !== "CKR_OK") {
          refused(code, () => sign(session));
          refused(code, () => library.C_SignUpdate(session, input));
          refused(code, () => library.C_Verify(session, input, Buffer.alloc(64)));
          return;
        }
        const undefinedResult = sign(session);
        library.C_VerifyInit(session, ecdsa, publicKey);
        refused("CKR_SIGNATURE_INVALID", () => library.C_Verify(session, input, undefinedResult));
      });
    });
  }

  for (const code of CODE_SWITCHES.NOT_LOGGED_IN) {
    test(`a signature without a login, or after it, gets ${code}`, () => {
      raw.initialized({ codes: { NOT_LOGGED_IN: code } }, ({ session }) => {
        const begin = (key: Buffer): void => library.C_SignInit(session, ecdsa, key);
        refused(code, () => begin(Buffer.alloc(8, 1)));
        refused(code, () => library.C_Logout(session));
        library.C_Login(session, pkcs11.CKU_USER, simulator.pin);
        const { privateKey } = raw.signingPair(session, "EC");
        begin(privateKey);
        sign(session);
        library.C_Logout(session);
        refused(code, () => begin(privateKey));
      });
    });
  }

  for (const code of CODE_SWITCHES.KEY_HANDLE) {
    test(`a key that is not there, or not any more, gets ${code}`, () => {
      raw.loggedIn({ codes: { KEY_HANDLE: code } }, ({ session }) => {
        const { privateKey } = raw.signingPair(session, "EC");
        library.C_DestroyObject(session, privateKey);
        for (const key of [privateKey, Buffer.alloc(8, 1)]) {
          refused(code, () => library.C_SignInit(session, ecdsa, key));
        }
      });
    });
  }
});

describe("answers from memory", () => {
  const data = randomBytes(32);

  test("are had for an input that was signed before with the same key and mechanism, in one login", () => {
    raw.loggedIn({ answersFromMemory: true }, ({ session }) => {
      const [ec, other] = [raw.signingPair(session, "EC"), raw.signingPair(session, "EC")];
      const rsa = raw.signingPair(session, "RSA");
      for (const [mechanism, keys, size] of [
        [{ mechanism: pkcs11.CKM_ECDSA }, ec, 64],
        [PSS, rsa, 256],
        [{ mechanism: pkcs11.CKM_RSA_PKCS }, rsa, 256],
      ] as const) {
        const sign = (input: Buffer, { privateKey } = keys): Buffer => {
          library.C_SignInit(session, mechanism, privateKey);
          return library.C_Sign(session, input, Buffer.alloc(size));
        };
        // Those with a part of chance show whether SoftHSM2 was asked.
        const first = sign(data);
        assert.deepEqual(sign(data), first);
        const second = sign(Buffer.alloc(32, 2));
        assert.notDeepEqual(second, first);
        assert.deepEqual(sign(Buffer.alloc(32, 2)), second);
        assert.deepEqual(sign(data), first);
        if (keys === ec) assert.notDeepEqual(sign(data, other), first);
        library.C_VerifyInit(session, mechanism, keys.publicKey);
        assert.ok(library.C_Verify(session, data, first));
      }
    });
  });

  test("are forgotten with the login, and not given where they are not wanted", () => {
    const id = randomBytes(8);
    const common = { TOKEN: true, ID: id };
    const first = raw.loggedIn({ answersFromMemory: true }, ({ session }) => {
      const { privateKey } = raw.pair(session, "EC", common, { ...common, SIGN: true });
      return raw.sign(session, privateKey, data);
    });
    for (const answersFromMemory of [true, false]) {
      raw.loggedIn({ answersFromMemory }, ({ session }) => {
        const second = raw.sign(session, raw.find(session, id), data);
        assert.notDeepEqual(second, first);
        const third = raw.sign(session, raw.find(session, id), data);
        assert.equal(third.equals(second), answersFromMemory);
      });
    }
  });

  test("are requests to the cluster like any others, and faults befall them", () => {
    raw.loggedIn({ answersFromMemory: true }, ({ session }) => {
      const { privateKey, publicKey } = raw.signingPair(session, "EC");
      const software = raw.publicKey(session, publicKey);
      const sign = (): Buffer => raw.sign(session, privateKey, data);
      sign();
      const before = simulator.clusterRequests();
      const known = sign();
      assert.equal(simulator.clusterRequests() - before, 2);
      simulator.order({ calls: [{ on: "C_Sign", returns: "CKR_DEVICE_ERROR", times: 1 }] });
      refused("CKR_DEVICE_ERROR", sign);
      assert.deepEqual(sign(), known);
      simulator.order({ calls: [{ on: "C_Sign", signs: "wrongly", times: 1 }] });
      assert.ok(!isSignature(software, data, sign()));
      assert.ok(isSignature(software, data, sign()));
    });
  });
});

describe("the count of requests", () => {
  for (const [validatesKeyAtInit, requests] of [
    [true, 2],
    [false, 1],
  ] as const) {
    test(`a signature costs ${requests} when C_SignInit ${validatesKeyAtInit ? "asks" : "does not ask"} for the key`, () => {
      raw.loggedIn({ validatesKeyAtInit }, ({ session }) => {
        const { privateKey } = raw.signingPair(session, "EC");
        const before = { all: simulator.clusterRequests(), sign: simulator.calls("C_Sign") };
        library.C_SignInit(session, { mechanism: pkcs11.CKM_ECDSA }, privateKey);
        library.C_Sign(session, Buffer.alloc(32, 1), Buffer.alloc(64));
        assert.equal(simulator.clusterRequests() - before.all, requests);
        assert.equal(simulator.calls("C_Sign") - before.sign, 1);
      });
    });
  }

  test("a read that asks for the length first, as pkcs11js does, costs two; a find costs each of its calls", () => {
    raw.loggedIn({}, ({ session }) => {
      const { privateKey } = raw.signingPair(session, "EC");
      const before = simulator.clusterRequests();
      raw.read(session, privateKey, "ID");
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
