import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { afterEach, before, test } from "node:test";
import { softHsmModulePath } from "../../dev/softhsm.ts";
import { signatureAlgorithm } from "../../lib/algorithms.ts";
import { Examination } from "../../lib/hsm/examination.ts";
import type { TokenKeyPair } from "../../lib/hsm/key_pairs.ts";
import type { TokenInfo } from "../../lib/hsm/token_info.ts";
import { Secret } from "../../lib/secret.ts";
import { verifySignature } from "../../lib/verify_signature.ts";
import { cloudHsmSimulator } from "../cloudhsm/simulator.ts";
import { ALL_ALGORITHMS } from "../support/algorithms.ts";
import { disguiseOver } from "../support/disguise.ts";
import { fails } from "../support/fails.ts";
import { openTestToken } from "../support/token.ts";

const P256 = signatureAlgorithm("P-256", "SHA-256");
const RSA = signatureAlgorithm("RSA-2048", "SHA-256");

/** What the token below the simulator is, seen through each of three libraries. */
const simulator = cloudHsmSimulator();
const softHsm = { modulePath: softHsmModulePath(), pin: simulator.pin.replace(/^.*:/, "") };
const disguise = { ...disguiseOver(softHsm.modulePath), pin: softHsm.pin };
Object.assign(process.env, disguise.environment);

interface Library {
  readonly modulePath: string;
  readonly pin: string;
}

const LIBRARIES: Readonly<Record<string, Library>> = {
  SoftHSM2: softHsm,
  "the CloudHSM simulator": simulator,
};
const opened: Examination[] = [];

function load({ modulePath }: Library): Examination {
  const examination = Examination.load(modulePath);
  opened.push(examination);
  return examination;
}

/** Up to the choice of the only token. */
function chosen(library: Library): { examination: Examination; token: TokenInfo } {
  const examination = load(library);
  examination.initialize();
  return { examination, token: examination.chooseToken(undefined) };
}

function loggedIn(library: Library): Examination {
  const { examination } = chosen(library);
  examination.logIn(new Secret(library.pin, "the test"));
  return examination;
}

function pairOf(examination: Examination, algorithm = P256): TokenKeyPair {
  const pair = examination.findKeyPair(algorithm.key.name, algorithm);
  assert.ok(pair);
  return pair;
}

before(async () => {
  const token = openTestToken(simulator);
  for (const name of new Set(ALL_ALGORITHMS.map(({ key }) => key.name))) {
    await token.generateKeyPair(name, signatureAlgorithm(name, "SHA-256"));
  }
  await token.close(5_000);
});

afterEach(() => {
  for (const examination of opened.splice(0)) examination.close();
  for (const name of Object.keys(process.env)) {
    if (/^DISGUISE_(?!MODULE)/.test(name)) delete process.env[name];
  }
});

for (const [name, library] of Object.entries(LIBRARIES)) {
  test(`${name}: the library and the token say what they are`, () => {
    const examination = load(library);
    assert.match(examination.initialize().version, /^\d+\.\d+$/);
    const token = examination.chooseToken(undefined);
    assert.deepEqual(examination.tokenLabels(), [token.label]);
    assert.deepEqual(token.flags, ["CKF_LOGIN_REQUIRED"]);
    assert.equal(token.time, undefined);
  });

  test(`${name}: every algorithm's mechanism signs with keys of its size`, () => {
    const { examination } = chosen(library);
    for (const algorithm of ALL_ALGORITHMS) {
      const { name: mechanism, uses } = examination.mechanism(algorithm);
      assert.equal(
        mechanism,
        { PKCS1: "CKM_RSA_PKCS", PSS: "CKM_RSA_PKCS_PSS", ECDSA: "CKM_ECDSA" }[algorithm.scheme],
      );
      assert.ok(uses?.canSign);
      const bits = Number(/\d+$/.exec(algorithm.key.name));
      assert.ok(uses.minKeySize <= bits && bits <= uses.maxKeySize, `${uses.minKeySize} ${uses.maxKeySize}`);
    }
  });

  test(`${name}: signatures of every algorithm verify`, async () => {
    const examination = loggedIn(library);
    for (const algorithm of ALL_ALGORITHMS) {
      const pair = pairOf(examination, algorithm);
      const data = randomBytes(100);
      const signature = await examination.signer(pair, algorithm).sign(data);
      const key = pair.publicKey.publicKeyObject;
      assert.ok(await verifySignature(algorithm, key, data, signature, "der"));
    }
  });

  test(`${name}: both calls of each signature are measured, but for the first one`, async () => {
    const examination = loggedIn(library);
    let progress = 0;
    const times = await examination.measure(pairOf(examination), P256, {
      signatures: 7,
      limitMs: 60_000,
      onProgress: () => (progress += 1),
    });
    assert.deepEqual([times.init.length, times.sign.length, progress], [7, 7, 8]);
    assert.ok([...times.init, ...times.sign].every((time) => time > 0));
  });

  test(`${name}: sessions are opened and closed again, as often as one likes`, () => {
    const examination = loggedIn(library);
    for (let round = 0; round < 3; round += 1) {
      assert.deepEqual(
        examination.openSessions(500, () => {}),
        { opened: 500, shortage: undefined },
      );
    }
  });

  test(`${name}: after the end the library can be initialized again, and a login is needed`, () => {
    const examination = loggedIn(library);
    assert.ok(examination.keyLabels().includes("RSA-2048"));
    examination.close();
    assert.throws(() => chosen(library).examination.keyLabels(), /nobody has logged in/);
  });
}

test("nothing is asked of a token before one is chosen", () => {
  const examination = load(softHsm);
  assert.throws(() => examination.openSessions(1, () => {}), RangeError);
  assert.throws(() => examination.mechanism(RSA), RangeError);
});

test("with fewer sessions than wanted, those that there are are counted, and why there are no more", () => {
  simulator.configure({ sessions: 4 });
  try {
    const examination = loggedIn(simulator);
    for (let round = 0; round < 2; round += 1) {
      const { opened: count, shortage } = examination.openSessions(8, () => {});
      assert.equal(count, 3, "one holds the login");
      assert.ok(fails("ERR_TOKEN_BUSY", /CKR_SESSION_COUNT/)(shortage));
    }
  } finally {
    simulator.configure({});
  }
});

test("a login is one C_Login, also when it is refused", () => {
  const before = { logins: simulator.calls("C_Login"), refused: simulator.pinsRefused() };
  const { examination } = chosen(simulator);
  assert.throws(
    () => examination.logIn(new Secret("signer:4711-wrong", "the test")),
    fails("ERR_PIN_REJECTED", /PIN of the test: CKR_PIN_INCORRECT/),
  );
  assert.equal(simulator.calls("C_Login") - before.logins, 1);
  assert.equal(simulator.pinsRefused() - before.refused, 1);
  assert.throws(() => examination.keyLabels(), /nobody has logged in/);
});

test("an examination makes, changes and destroys nothing, and each signature is one C_SignInit and one C_Sign", async () => {
  const count = (): number[] => CHANGING.map((name) => simulator.calls(name));
  const before = count();
  const signed = simulator.calls("C_Sign");
  const examination = loggedIn(simulator);
  const pair = pairOf(examination);
  examination.openSessions(4, () => {});
  await examination.measure(pair, P256, { signatures: 5, limitMs: 60_000, onProgress: () => {} });
  await examination.signer(pair, P256).sign(randomBytes(10));
  assert.deepEqual(count(), before);
  assert.equal(simulator.calls("C_Sign") - signed, 7);
});

const CHANGING = [
  "C_CreateObject",
  "C_CopyObject",
  "C_DestroyObject",
  "C_SetAttributeValue",
  "C_GenerateKey",
  "C_GenerateKeyPair",
  "C_UnwrapKey",
  "C_DeriveKey",
  "C_InitToken",
  "C_InitPIN",
  "C_SetPIN",
  "C_SeedRandom",
];

test("the flags that an operator should know of are named", () => {
  process.env["DISGUISE_FLAGS"] = "0xf0040";
  process.env["DISGUISE_TIME"] = "2026112510393300";
  const { token } = chosen(disguise);
  assert.deepEqual(token.flags, [
    "CKF_LOGIN_REQUIRED",
    "CKF_CLOCK_ON_TOKEN",
    "CKF_USER_PIN_COUNT_LOW",
    "CKF_USER_PIN_FINAL_TRY",
    "CKF_USER_PIN_LOCKED",
    "CKF_USER_PIN_TO_BE_CHANGED",
  ]);
  assert.deepEqual(token.time, new Date("2026-11-25T10:39:33Z"), "UTC, whatever this machine's time zone is");
});

for (const time of ["                ", "0000000000000000", "2026-11-25 10:39", "2026132510393300"]) {
  test(`a clock that shows "${time}" shows no time`, () => {
    process.env["DISGUISE_FLAGS"] = "0x40";
    process.env["DISGUISE_TIME"] = time;
    assert.equal(chosen(disguise).token.time, undefined);
  });
}

test("a mechanism that the token does not have, does not sign with, or not with such keys", () => {
  process.env["DISGUISE_WITHOUT"] = "1";
  assert.deepEqual(chosen(disguise).examination.mechanism(RSA), { name: "CKM_RSA_PKCS", uses: undefined });
  process.env["DISGUISE_WITHOUT"] = "0xffff";
  process.env["DISGUISE_SMALLER"] = "1024";
  process.env["DISGUISE_SIGNS_NOT"] = "1";
  const { uses } = chosen(disguise).examination.mechanism(RSA);
  assert.deepEqual([uses?.canSign, uses?.maxKeySize], [false, 1024]);
});

test("a signature that is none is an error", async () => {
  const examination = loggedIn(simulator);
  const pair = pairOf(examination);
  simulator.order({ calls: [{ on: "C_Sign", signs: "wrongly" }] });
  try {
    await assert.rejects(
      examination.signer(pair, P256).sign(randomBytes(10)),
      fails("ERR_SIGNATURE_WRONG", /does not verify/),
    );
  } finally {
    simulator.order();
  }
});

test("a call that fails is an error with what the token says, and leaves the next one as it was", async () => {
  const examination = loggedIn(simulator);
  const pair = pairOf(examination);
  for (const on of ["C_SignInit", "C_Sign"] as const) {
    simulator.order({ calls: [{ on, returns: "CKR_FUNCTION_FAILED", times: 1 }] });
    await assert.rejects(
      examination.measure(pair, P256, { signatures: 2, limitMs: 60_000, onProgress: () => {} }),
      fails("ERR_TOKEN_BUSY", /Cannot measure signatures: CKR_FUNCTION_FAILED/),
    );
    await examination.signer(pair, P256).sign(randomBytes(10));
  }
});
