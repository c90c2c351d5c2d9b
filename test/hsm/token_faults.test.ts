import assert from "node:assert/strict";
import { randomBytes, verify } from "node:crypto";
import { after, beforeEach, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { signatureAlgorithm } from "../../lib/algorithms.ts";
import type { ErrorCode } from "../../lib/errors.ts";
import type { Token } from "../../lib/hsm/token.ts";
import type { TokenKey } from "../../lib/hsm/token_key.ts";
import type { CallFault } from "../cloudhsm/order.ts";
import { cloudHsmSimulator } from "../cloudhsm/simulator.ts";
import { collectGarbage } from "../support/garbage.ts";
import { recordingLog } from "../support/recording_log.ts";
import { openTestToken } from "../support/token.ts";
import { until } from "../support/until.ts";

const simulator = cloudHsmSimulator();
const algorithm = signatureAlgorithm("RSA-2048", "SHA-256");
const logged = recordingLog();
const token = openTestToken(simulator, {
  sessions: 4,
  signTimeoutMs: 2_000,
  waitTimeoutMs: 60_000,
  log: logged.log,
});
const { privateKey } = await token.generateKeyPair("faults", algorithm);
after(() => token.close(10_000));
beforeEach(() => {
  simulator.order();
  logged.events.length = 0;
});

/** The next so many C_Sign fail. */
function failing(times: number, returns: Extract<CallFault, { returns: unknown }>["returns"]): void {
  simulator.order({ calls: [{ on: "C_Sign", returns, times }] });
}

/** The next so many C_Sign give a wrong signature. */
function signingWrongly(times: number): void {
  simulator.order({ calls: [{ on: "C_Sign", signs: "wrongly", times }] });
}

const isCode = (code: ErrorCode) => (error: unknown) =>
  error instanceof Error && "code" in error && error.code === code;

async function signsCorrectly(signer: Token, key: TokenKey): Promise<void> {
  const data = randomBytes(200);
  const signature = await signer.sign(key, algorithm, data);
  assert.ok(verify("sha256", data, key.publicKeyObject, signature));
}

for (const verifiesOnThread of [true, false]) {
  const where = verifiesOnThread ? "on the thread that signed" : "by node:crypto";
  const open = (): Token => openTestToken(simulator, { sessions: 1, verifiesOnThread, log: logged.log });

  test(`a wrong signature that comes with CKR_OK, found ${where}, is not given out; the second try is`, async () => {
    signingWrongly(1);
    await signsCorrectly(open(), privateKey);
    assert.deepEqual(
      logged.events.map(({ event }) => event),
      ["token.wrong_signature"],
    );
  });

  test(`a token that goes on giving wrong signatures, found ${where}, gets none of them past the service`, async () => {
    const small = open();
    signingWrongly(2);
    await assert.rejects(small.sign(privateKey, algorithm, randomBytes(10)), isCode("ERR_SIGNATURE_WRONG"));
    await signsCorrectly(small, privateKey);
  });
}

for (const [name, returnValue] of [
  ["busy", "CKR_FUNCTION_FAILED"],
  ["session", "CKR_SESSION_HANDLE_INVALID"],
] as const) {
  test(`one C_Sign that fails as "${name}" is tried once more, and the caller does not notice`, async () => {
    failing(1, returnValue);
    await signsCorrectly(token, privateKey);
    assert.equal(token.sessions.leased, 0);
  });
}

for (const [name, returnValue, times, code] of [
  ["busy", "CKR_FUNCTION_FAILED", 2, "ERR_TOKEN_BUSY"],
  ["session", "CKR_SESSION_HANDLE_INVALID", 2, "ERR_TOKEN_UNAVAILABLE"],
  ["caller", "CKR_KEY_FUNCTION_NOT_PERMITTED", 1, "ERR_TOKEN_REFUSED"],
  ["unknown", 0x80000001, 1, "ERR_TOKEN_FAULT"],
] as const) {
  test(`${times} C_Sign that fail as "${name}" give ${code}, and the service signs afterwards`, async () => {
    failing(times, returnValue);
    await assert.rejects(token.sign(privateKey, algorithm, randomBytes(10)), isCode(code));
    await signsCorrectly(token, privateKey);
    assert.equal(token.sessions.leased, 0);
  });
}

test("a C_Sign that outlasts its deadline is answered, and its session is lent to nobody until it returns", async () => {
  const small = openTestToken(simulator, { sessions: 1, signTimeoutMs: 100, waitTimeoutMs: 100 });
  simulator.order({ calls: [{ on: "C_Sign", hangs: true, times: 1 }] });
  await assert.rejects(small.sign(privateKey, algorithm, randomBytes(10)), isCode("ERR_SIGN_TIMEOUT"));
  assert.deepEqual({ ...small.sessions }, { size: 1, open: 1, leased: 1, overdue: 1, waiting: 0 });
  await assert.rejects(small.sign(privateKey, algorithm, randomBytes(10)), isCode("ERR_TOKEN_HANGS"));
  simulator.order({ released: true });
  await until(() => small.sessions.leased === 0);
  await signsCorrectly(small, privateKey);
  assert.equal(small.sessions.overdue, 0);
});

test("while C_Sign is slow and the garbage collector runs all the time, no signature is over other bytes", async () => {
  logged.events.length = 0;
  simulator.order({ calls: [{ on: "C_Sign", latencyUs: 40_000 }] });
  let isDone = false;
  const pressure = (async () => {
    while (!isDone) {
      collectGarbage();
      // What takes the place of buffers that were let go too early.
      for (let index = 0; index < 200; index += 1) Buffer.alloc(51, index);
      await delay(1);
    }
  })();
  try {
    await Promise.all(Array.from({ length: 200 }, () => signsCorrectly(token, privateKey)));
  } finally {
    isDone = true;
    await pressure;
  }
  // Each one is verified before it is given out; that none had to be made twice is what is shown here.
  assert.deepEqual(logged.events, []);
});
