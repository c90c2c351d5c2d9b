import assert from "node:assert/strict";
import { randomBytes, verify } from "node:crypto";
import { after, beforeEach, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import * as graphene from "graphene-pk11";
import { signatureAlgorithm } from "../../lib/algorithms.ts";
import type { ErrorCode } from "../../lib/errors.ts";
import { openSession, Pkcs11Module } from "../../lib/hsm/module.ts";
import { recordingLog } from "../support/recording_log.ts";
import { shimOver } from "../support/shim.ts";
import { freshToken, openTestToken } from "../support/token.ts";
import { until } from "../support/until.ts";

const softHsm = freshToken();
const shim = shimOver(softHsm.modulePath);
const underShim = { ...softHsm, modulePath: shim.modulePath };
const algorithm = signatureAlgorithm("P-256", "SHA-256");
const logged = recordingLog();
const token = openTestToken(underShim, { sessions: 4, signTimeoutMs: 1_000, log: logged.log });
const { privateKey } = await token.generateKeyPair("recovering", algorithm);
after(() => token.close(10_000));

const CKR_DEVICE_ERROR = 0x30;
const CKR_KEY_HANDLE_INVALID = 0x60;
/** Longer than the age below which a connection is not replaced again. */
const SETTLING_MS = 1_100;

beforeEach(async () => {
  shim.order({});
  await delay(SETTLING_MS);
  logged.events.length = 0;
});

const isCode = (code: ErrorCode) => (error: unknown) =>
  error instanceof Error && "code" in error && error.code === code;
const recoveries = (): number => logged.events.filter(({ event }) => event === "token.recovered").length;

async function signsCorrectly(): Promise<void> {
  const data = randomBytes(200);
  const signature = await token.sign(privateKey, algorithm, data);
  const options = { key: privateKey.publicKeyObject, dsaEncoding: "ieee-p1363" } as const;
  assert.ok(verify("sha256", data, options, signature));
}

/** Does to the token what somebody else on it could do. */
function withPlainSession(use: (session: graphene.Session) => void): void {
  const session = openSession(Pkcs11Module.open(shim.modulePath).slotOfToken(softHsm.label));
  use(session);
  session.close();
}

test("a module that fails under 40 callers is initialized again once, and none of them notices", async () => {
  shim.order({ failing: 1, returnValue: CKR_DEVICE_ERROR, delayMs: 5 });
  await Promise.all(Array.from({ length: 40 }, signsCorrectly));
  assert.equal(recoveries(), 1);
  assert.equal(token.sessions.leased, 0);
});

test("a module that somebody finalized is initialized again", async () => {
  Pkcs11Module.open(shim.modulePath).close();
  await Promise.all(Array.from({ length: 10 }, signsCorrectly));
  assert.equal(recoveries(), 1);
});

test("a login that somebody ended is made again, and the handles are resolved anew", async () => {
  withPlainSession((session) => session.logout());
  await Promise.all(Array.from({ length: 10 }, signsCorrectly));
  assert.equal(recoveries(), 1);
});

test("all sessions that somebody closed, and the login with them, are replaced", async () => {
  Pkcs11Module.open(shim.modulePath).slotOfToken(softHsm.label).closeAll();
  const results = await Promise.allSettled(Array.from({ length: 10 }, signsCorrectly));
  for (const result of results) {
    if (result.status === "rejected")
      assert.ok(isCode("ERR_TOKEN_UNAVAILABLE")(result.reason), String(result.reason));
  }
  await until(() => recoveries() === 1);
  await Promise.all(Array.from({ length: 10 }, signsCorrectly));
});

test("a token that goes on failing is not logged in to again and again", async () => {
  shim.order({ failing: 1_000, returnValue: CKR_KEY_HANDLE_INVALID });
  for (let count = 0; count < 20; count += 1) {
    await assert.rejects(token.sign(privateKey, algorithm, randomBytes(10)), isCode("ERR_TOKEN_UNAVAILABLE"));
  }
  assert.ok(recoveries() <= 2, `${recoveries()} recoveries`);
  shim.order({});
  await signsCorrectly();
});

for (const [name, before] of [
  ["", async () => {}],
  [
    ", on whichever connection the call was made",
    async () => {
      // A new login in between: the hung call's connection is not the current one any more.
      shim.order({ failing: 1, returnValue: CKR_KEY_HANDLE_INVALID });
      await signsCorrectly();
      await delay(SETTLING_MS);
    },
  ],
] as const) {
  test(`while a call hangs inside it, a failed module is left alone, and comes back when it returns${name}`, async () => {
    shim.order({ delayMs: 9_000 });
    const hung = assert.rejects(
      token.sign(privateKey, algorithm, randomBytes(10)),
      isCode("ERR_SIGN_TIMEOUT"),
    );
    await until(() => token.sessions.leased === 1);
    // The call reads its order when it gets its thread.
    await delay(100);
    shim.order({});
    await before();
    const recovered = recoveries();
    shim.order({ failing: 1, returnValue: CKR_DEVICE_ERROR });
    await assert.rejects(token.sign(privateKey, algorithm, randomBytes(10)), /1 calls hang inside it/);
    await hung;
    await until(() => recoveries() === recovered + 1);
    await signsCorrectly();
  });
}

test("a key that another one took the place of is not used", async () => {
  withPlainSession((session) => {
    for (const type of [graphene.ObjectClass.PRIVATE_KEY, graphene.ObjectClass.PUBLIC_KEY]) {
      session.destroy({ class: type, label: "recovering" });
    }
    const common = { token: true, label: "recovering", id: randomBytes(20) };
    session.generateKeyPair(
      graphene.KeyGenMechanism.EC,
      { ...common, verify: true, paramsEC: Buffer.from("06082a8648ce3d030107", "hex") },
      { ...common, sign: true },
    );
  });
  shim.order({ failing: 1, returnValue: CKR_KEY_HANDLE_INVALID });
  await assert.rejects(
    token.sign(privateKey, algorithm, randomBytes(10)),
    (error: unknown) =>
      isCode("ERR_KEY_UNUSABLE")(error) && /key pair "recovering": it is another one now/.test(String(error)),
  );
});
