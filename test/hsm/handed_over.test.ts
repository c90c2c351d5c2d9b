import assert from "node:assert/strict";
import { randomBytes, verify } from "node:crypto";
import { afterEach, beforeEach, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { signatureAlgorithm } from "../../lib/algorithms.ts";
import { type ErrorCode, SignerError } from "../../lib/errors.ts";
import type { Token } from "../../lib/hsm/token.ts";
import type { TokenKey } from "../../lib/hsm/token_key.ts";
import { lacks } from "../../lib/runtime.ts";
import type { SignTimings } from "../../lib/signer.ts";
import type { CallFault } from "../cloudhsm/order.ts";
import { cloudHsmSimulator } from "../cloudhsm/simulator.ts";
import { collectGarbage } from "../support/garbage.ts";
import { startModule } from "../support/module_process.ts";
import { recordingLog } from "../support/recording_log.ts";
import { openTestToken } from "../support/token.ts";
import { until } from "../support/until.ts";

/**
 * Sessions that pass from one signature to the next without JavaScript, which stands still in most of these tests. The
 * simulator ends the process when two threads use one session at once.
 */
const simulator = cloudHsmSimulator();
const algorithm = signatureAlgorithm("P-256", "SHA-256");
const logged = recordingLog();
const maker = openTestToken(simulator);
await maker.generateKeyPair("handed over", algorithm);
await maker.close(10_000);

const SIGN_MS = 20;
const PATIENCE_MS = 20_000;
/** Whether signatures are verified on the thread that made them: without that no session passes on. */
const PASSES_ON = !lacks("OpenSSL for addons");

let token: Token;
let privateKey: TokenKey;
beforeEach(() => {
  slow();
  logged.events.length = 0;
});
afterEach(async () => {
  simulator.order({ released: true });
  await token.close(10_000);
});

/** Longer than it takes JavaScript to ask for some signatures; and what else is wrong. */
function slow(...faults: CallFault[]): void {
  simulator.order({ calls: [{ on: "C_Sign", latencyUs: SIGN_MS * 1_000 }, ...faults] });
}

/** The next C_Sign does not return until it is released; whether it has been called. */
function hold(): () => boolean {
  const { hung } = simulator.injected();
  slow(next(1, { hangs: true }));
  return () => simulator.injected().hung === hung + 1;
}

/** What is held goes on, and other things go wrong. */
function release(...faults: CallFault[]): void {
  const calls: CallFault[] = [{ on: "C_Sign", latencyUs: SIGN_MS * 1_000 }, ...faults];
  simulator.order({ calls, released: true });
}

/** The next so many C_Sign are so. */
const next = (times: number, fault: object): CallFault => ({ on: "C_Sign", times, ...fault }) as CallFault;

function open(sessions: number, signTimeoutMs = 10_000): void {
  token = openTestToken(simulator, { sessions, signTimeoutMs, log: logged.log });
  const pair = token.findKeyPair("handed over", algorithm);
  assert.ok(pair);
  privateKey = pair.privateKey;
}

const isCode = (code: ErrorCode) => (error: unknown) => error instanceof SignerError && error.code === code;

/** So many signatures, all asked for at once, each over its own bytes. */
function signAll(count: number, timings: SignTimings[] = []): Promise<void>[] {
  return Array.from({ length: count }, async (_, index) => {
    const data = randomBytes(100 + index);
    const taken = timings[index] ?? { queueMs: 0, tokenMs: 0 };
    timings[index] = taken;
    const signature = await token.sign(privateKey, algorithm, data, taken);
    const key = { key: privateKey.publicKeyObject, dsaEncoding: "ieee-p1363" } as const;
    assert.ok(verify("sha256", data, key, signature), `signature ${index}`);
  });
}

/** JavaScript stands still until something is so. */
function standStill(isMet: () => boolean): void {
  const start = performance.now();
  while (!isMet()) {
    if (performance.now() - start > PATIENCE_MS) throw new Error(`Cannot go on: never came ${isMet}`);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
  }
}

function standStillFor(ms: number): void {
  const start = performance.now();
  standStill(() => performance.now() - start >= ms);
}

/** How often C_SignInit and C_Sign have been called since. */
function callsSince(): () => { readonly inits: number; readonly signs: number } {
  const [inits, signs] = [simulator.calls("C_SignInit"), simulator.calls("C_Sign")];
  return () => ({ inits: simulator.calls("C_SignInit") - inits, signs: simulator.calls("C_Sign") - signs });
}

test("while JavaScript stands still, all are signed that wait, each with one C_SignInit and one C_Sign", async () => {
  const [count, sessions] = [10, 2];
  open(sessions);
  const calls = callsSince();
  const all = signAll(count);
  assert.deepEqual([token.sessions.leased, token.sessions.waiting], [sessions, count - sessions]);
  if (PASSES_ON) standStill(() => calls().signs === count);
  else {
    standStillFor(4 * SIGN_MS);
    assert.equal(calls().signs, sessions, "none is handed over that JavaScript has to verify");
  }
  await Promise.all(all);
  assert.deepEqual(calls(), { inits: count, signs: count });
  assert.deepEqual({ ...token.sessions }, { size: 2, open: 2, leased: 0, overdue: 0, waiting: 0 });
  assert.deepEqual(logged.events, []);
});

test("how long one has waited ends where its C_SignInit began", async () => {
  open(1);
  const timings: SignTimings[] = [];
  const calls = callsSince();
  const start = performance.now();
  const all = signAll(4, timings);
  const asking = performance.now() - start;
  if (PASSES_ON) standStill(() => calls().signs === 4);
  await Promise.all(all);
  const whole = performance.now() - start;
  for (const [index, { queueMs, tokenMs }] of timings.entries()) {
    assert.ok(tokenMs >= SIGN_MS, `${tokenMs}`);
    assert.ok(queueMs >= index * SIGN_MS - asking, `${index} waited for ${queueMs} ms`);
    assert.ok(queueMs + tokenMs <= whole, `${queueMs} and ${tokenMs} of ${whole} ms`);
  }
});

for (const [what, fault] of [
  ["is wrong, with CKR_OK", { signs: "wrongly" }],
  ["is refused as busy", { returns: "CKR_FUNCTION_FAILED" }],
  ["finds its session gone", { returns: "CKR_SESSION_HANDLE_INVALID" }],
] as const) {
  test(`a signature that ${what} hands nothing over, is made again, and the others do not notice`, async () => {
    open(1);
    slow(next(1, fault));
    const calls = callsSince();
    const all = signAll(4);
    standStill(() => calls().signs === 1);
    standStillFor(4 * SIGN_MS);
    assert.deepEqual(calls(), { inits: 1, signs: 1 });
    await Promise.all(all);
    assert.deepEqual(calls(), { inits: 5, signs: 5 });
    assert.deepEqual({ ...token.sessions }, { size: 1, open: 1, leased: 0, overdue: 0, waiting: 0 });
  });

  test(`one that inherited a session and ${what} hands nothing over, and is made again`, async () => {
    open(1);
    const [calls, isHeld] = [callsSince(), hold()];
    const all = signAll(4);
    standStill(isHeld);
    // Whether a signature is wrong is settled at its end, everything else when its call begins.
    const { hung } = simulator.injected();
    const isWrong = "signs" in fault;
    release(next(1, isWrong ? { hangs: true } : fault));
    if (PASSES_ON) standStill(() => calls().signs === 2);
    if (PASSES_ON && isWrong) standStill(() => simulator.injected().hung === hung + 1);
    if (isWrong) release(next(1, fault));
    standStillFor(4 * SIGN_MS);
    assert.deepEqual(calls(), PASSES_ON ? { inits: 2, signs: 2 } : { inits: 1, signs: 1 });
    await Promise.all(all);
    assert.deepEqual(calls(), { inits: 5, signs: 5 });
    assert.deepEqual({ ...token.sessions }, { size: 1, open: 1, leased: 0, overdue: 0, waiting: 0 });
  });
}

test("while others stand by, what is signed is told several at once", async () => {
  open(1);
  const [count, isHeld] = [30, hold()];
  let turns = 0;
  let isNewTurn = true;
  const all = signAll(count).map(async (signed) => {
    await signed;
    if (!isNewTurn) return;
    [turns, isNewTurn] = [turns + 1, false];
    setImmediate(() => {
      isNewTurn = true;
    });
  });
  standStill(isHeld);
  standStillFor(100);
  const start = performance.now();
  simulator.order({ calls: [{ on: "C_Sign", latencyUs: 1_000 }], released: true });
  await Promise.all(all);
  // One for every four milliseconds, the first one, and two around the end, when few stand by.
  const most = (performance.now() - start) / 4 + 3;
  if (PASSES_ON) assert.ok(turns <= most, `${turns} turns, ${most} at most`);
});

test("one that is signed is told while the one that inherited its session hangs", async () => {
  open(1);
  const isHeld = hold();
  const [first, second, third] = signAll(3);
  standStill(isHeld);
  standStillFor(100);
  const { hung } = simulator.injected();
  release(next(1, { hangs: true }));
  await first;
  await until(() => simulator.injected().hung === hung + 1);
  release(next(1, { hangs: true }));
  await second;
  await until(() => simulator.injected().hung === hung + 2);
  release();
  await third;
});

test("one that inherited a session and hangs is overdue after its own time, and those that wait are told", async () => {
  open(1, 200);
  const isHeld = hold();
  const [first, second, third] = signAll(3);
  standStill(isHeld);
  const { hung } = simulator.injected();
  release(next(1, { hangs: true }));
  if (PASSES_ON) standStill(() => simulator.injected().hung === hung + 1);
  await first;
  const refused = third && assert.rejects(third, isCode("ERR_TOKEN_HANGS"));
  assert.ok(second);
  await assert.rejects(second, isCode("ERR_SIGN_TIMEOUT"));
  await refused;
  assert.deepEqual({ ...token.sessions }, { size: 1, open: 1, leased: 1, overdue: 1, waiting: 0 });
  simulator.order({ released: true });
  await until(() => token.sessions.leased === 0);
  assert.equal(token.sessions.overdue, 0);
  await Promise.all(signAll(4));
});

test("a signature that comes back late and right has handed its session over all the same", async () => {
  open(2, 300);
  const isHeld = hold();
  const [late] = signAll(1);
  standStill(isHeld);
  assert.ok(late);
  await assert.rejects(late, isCode("ERR_SIGN_TIMEOUT"));
  slow();
  const calls = callsSince();
  const all = signAll(4);
  release();
  if (PASSES_ON) standStill(() => calls().signs === 4);
  await Promise.all(all);
  await until(() => token.sessions.leased === 0);
  assert.equal(token.sessions.overdue, 0);
});

test("when the token is closed, those that wait are refused, and those under way are signed", async () => {
  open(2);
  const calls = callsSince();
  const all = Promise.allSettled(signAll(8));
  assert.equal(await token.close(10_000), true);
  const results = await all;
  const signed = results.filter(({ status }) => status === "fulfilled").length;
  assert.equal(signed, calls().signs);
  assert.ok(signed >= 2);
  for (const result of results) {
    if (result.status === "rejected") assert.ok(isCode("ERR_STOPPING")(result.reason), String(result.reason));
  }
});

for (const [what, fault] of [
  ["fails (CKR_DEVICE_ERROR)", next(1, { returns: "CKR_DEVICE_ERROR" })],
  ["loses its handles (CKR_KEY_HANDLE_INVALID)", next(1, { returns: "CKR_KEY_HANDLE_INVALID" })],
] as const) {
  test(`when the token ${what} under many callers, all are signed, on the next connection`, async () => {
    open(3);
    const calls = callsSince();
    const all = signAll(40);
    standStill(() => calls().signs >= 3);
    slow(fault);
    await Promise.all(all);
    assert.equal(logged.events.filter(({ event }) => event === "token.recovered").length, 1);
    assert.deepEqual({ ...token.sessions }, { size: 3, open: 3, leased: 0, overdue: 0, waiting: 0 });
  });
}

test("when the cluster is away under many callers, each is signed or told, and the sessions come back", async () => {
  open(3);
  const calls = callsSince();
  const all = signAll(40);
  standStill(() => calls().signs >= 3);
  simulator.order({ disconnected: { forMs: 300 } });
  for (const result of await Promise.allSettled(all)) {
    if (result.status === "rejected") {
      assert.match(String((result.reason as SignerError).code), /^ERR_TOKEN_(UNAVAILABLE|BUSY)$/);
    }
  }
  simulator.order();
  await until(() =>
    Promise.all(signAll(1)).then(
      () => true,
      () => false,
    ),
  );
  await Promise.all(signAll(20));
  assert.equal(token.sessions.leased, 0);
});

test("a key pair is made while there are always more callers than sessions", async () => {
  open(1);
  let isMade = false;
  const callers = Array.from({ length: 6 }, async () => {
    while (!isMade) await Promise.all(signAll(1));
  });
  await token.generateKeyPair("between", algorithm);
  isMade = true;
  await Promise.all(callers);
});

test("with many callers, few sessions and a garbage collector that runs all the time, none is over other bytes", async () => {
  open(3);
  simulator.order();
  let isDone = false;
  const pressure = (async () => {
    while (!isDone) {
      collectGarbage();
      for (let index = 0; index < 200; index += 1) Buffer.alloc(32, index);
      await delay(1);
    }
  })();
  const callers = Array.from({ length: 50 }, async () => {
    for (let count = 0; count < 10; count += 1) await Promise.all(signAll(1));
  });
  await Promise.all(callers);
  isDone = true;
  await pressure;
  assert.deepEqual(logged.events, []);
});

test("a process that ends waits for what is inside the library, and for nothing that stands by", async () => {
  open(1);
  const [calls, isHeld] = [callsSince(), hold()];
  const { modulePath, label, pin } = simulator;
  const child = startModule(`
    import { signatureAlgorithm } from "./lib/algorithms.ts";
    import { openTestToken } from "./test/support/token.ts";
    const token = openTestToken(${JSON.stringify({ modulePath, label, pin })}, { sessions: 1 });
    const algorithm = signatureAlgorithm("P-256", "SHA-256");
    const { privateKey } = token.findKeyPair("handed over", algorithm);
    for (let i = 0; i < 5; i += 1) void token.sign(privateKey, algorithm, Buffer.from("data"));
    setTimeout(() => { process.stderr.write("leaving"); process.exit(3); }, 100);`);
  await child.said("leaving");
  await until(isHeld);
  await delay(200);
  release();
  assert.equal(await child.ended, 3);
  assert.deepEqual(calls(), { inits: 1, signs: 1 });
});
