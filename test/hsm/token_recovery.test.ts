import assert from "node:assert/strict";
import { randomBytes, verify } from "node:crypto";
import { after, beforeEach, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import * as graphene from "graphene-pk11";
import { signatureAlgorithm } from "../../lib/algorithms.ts";
import type { ErrorCode } from "../../lib/errors.ts";
import { Pkcs11Module } from "../../lib/hsm/module.ts";
import type { ReturnValue } from "../cloudhsm/constants.ts";
import { cloudHsmSimulator } from "../cloudhsm/simulator.ts";
import { generateP256, withPlainSession } from "../support/plain_session.ts";
import { recordingLog } from "../support/recording_log.ts";
import { openTestToken } from "../support/token.ts";
import { until } from "../support/until.ts";

const simulator = cloudHsmSimulator();
const algorithm = signatureAlgorithm("P-256", "SHA-256");
const logged = recordingLog();
const token = openTestToken(simulator, { sessions: 4, signTimeoutMs: 1_000, log: logged.log });
const { privateKey } = await token.generateKeyPair("recovering", algorithm);
after(async () => {
  simulator.order({ released: true });
  await token.close(10_000);
});

/** Longer than the age below which a connection is not replaced again. */
const SETTLING_MS = 1_100;

beforeEach(async () => {
  simulator.order();
  await delay(SETTLING_MS);
  logged.events.length = 0;
});

const isCode = (code: ErrorCode) => (error: unknown) =>
  error instanceof Error && "code" in error && error.code === code;
const recoveries = (): number => logged.events.filter(({ event }) => event === "token.recovered").length;

/** The next so many C_Sign fail. */
function failing(times: number, returns: ReturnValue): void {
  simulator.order({ calls: [{ on: "C_Sign", returns, times }] });
}

async function signsCorrectly(): Promise<void> {
  const data = randomBytes(200);
  const signature = await token.sign(privateKey, algorithm, data);
  const options = { key: privateKey.publicKeyObject, dsaEncoding: "ieee-p1363" } as const;
  assert.ok(verify("sha256", data, options, signature));
}

test("a module that fails under 40 callers is initialized again once, and none of them notices", async () => {
  simulator.order({
    calls: [
      { on: "C_Sign", latencyUs: 5_000 },
      { on: "C_Sign", returns: "CKR_DEVICE_ERROR", times: 1 },
    ],
  });
  await Promise.all(Array.from({ length: 40 }, signsCorrectly));
  assert.equal(recoveries(), 1);
  assert.equal(token.sessions.leased, 0);
});

test("a module that somebody finalized is initialized again", async () => {
  Pkcs11Module.open(simulator.modulePath).close();
  await Promise.all(Array.from({ length: 10 }, signsCorrectly));
  assert.equal(recoveries(), 1);
});

test("a login that somebody ended is made again, and the handles are resolved anew", async () => {
  withPlainSession(simulator, (session) => session.logout());
  await Promise.all(Array.from({ length: 10 }, signsCorrectly));
  assert.equal(recoveries(), 1);
});

test("all sessions that somebody closed, and the login with them, are replaced", async () => {
  Pkcs11Module.open(simulator.modulePath).slotOfToken(simulator.label).closeAll();
  const results = await Promise.allSettled(Array.from({ length: 10 }, signsCorrectly));
  for (const result of results) {
    if (result.status === "rejected")
      assert.ok(isCode("ERR_TOKEN_UNAVAILABLE")(result.reason), String(result.reason));
  }
  await until(() => recoveries() === 1);
  await Promise.all(Array.from({ length: 10 }, signsCorrectly));
});

test("a token that goes on failing is not logged in to again and again", async () => {
  failing(1_000, "CKR_KEY_HANDLE_INVALID");
  for (let count = 0; count < 20; count += 1) {
    await assert.rejects(token.sign(privateKey, algorithm, randomBytes(10)), isCode("ERR_TOKEN_UNAVAILABLE"));
  }
  assert.ok(recoveries() <= 2, `${recoveries()} recoveries`);
  simulator.order();
  await signsCorrectly();
});

for (const [name, before] of [
  ["", async () => {}],
  [
    ", on whichever connection the call was made",
    async () => {
      // A new login in between: the hung call's connection is not the current one any more.
      failing(1, "CKR_KEY_HANDLE_INVALID");
      await signsCorrectly();
      await delay(SETTLING_MS);
    },
  ],
] as const) {
  test(`while a call hangs inside it, a failed module is left alone, and comes back when it returns${name}`, async () => {
    const { hung } = simulator.injected();
    simulator.order({ calls: [{ on: "C_Sign", hangs: true, times: 1 }] });
    const hanging = assert.rejects(
      token.sign(privateKey, algorithm, randomBytes(10)),
      isCode("ERR_SIGN_TIMEOUT"),
    );
    await until(() => simulator.injected().hung > hung);
    await before();
    const recovered = recoveries();
    failing(1, "CKR_DEVICE_ERROR");
    await assert.rejects(token.sign(privateKey, algorithm, randomBytes(10)), /1 calls hang inside it/);
    await hanging;
    simulator.order({ released: true });
    await until(() => recoveries() === recovered + 1);
    await signsCorrectly();
  });
}

test("a key that another one took the place of is not used", async () => {
  withPlainSession(simulator, (session) => {
    for (const type of [graphene.ObjectClass.PRIVATE_KEY, graphene.ObjectClass.PUBLIC_KEY]) {
      session.destroy({ class: type, label: "recovering" });
    }
    generateP256(session, { label: "recovering" });
  });
  failing(1, "CKR_KEY_HANDLE_INVALID");
  await assert.rejects(
    token.sign(privateKey, algorithm, randomBytes(10)),
    (error: unknown) =>
      isCode("ERR_KEY_UNUSABLE")(error) && /key pair "recovering": it is another one now/.test(String(error)),
  );
});
