import assert from "node:assert/strict";
import { test } from "node:test";
import { type ErrorCode, SignerError } from "../../lib/errors.ts";
import { Recovery } from "../../lib/hsm/recovery.ts";
import { recordingLog } from "../support/recording_log.ts";
import { until } from "../support/until.ts";

/** A recovery whose attempts end as the list says; afterwards they succeed. */
function recoveryWith(outcomes: (ErrorCode | "success")[]) {
  const attempts: number[] = [];
  const logged = recordingLog();
  const recovery = new Recovery({
    attempt: async (attempt) => {
      attempts.push(attempt);
      const outcome = outcomes[attempts.length - 1] ?? "success";
      await new Promise(setImmediate);
      if (outcome !== "success") throw new SignerError(outcome, "Cannot try");
    },
    log: logged.log,
    firstDelayMs: 1,
    maxDelayMs: 4,
  });
  return { recovery, attempts, events: logged.events };
}

const isCode = (code: ErrorCode) => (error: unknown) => error instanceof SignerError && error.code === code;

test("however many ask, one attempt is made, and all go on when it succeeds", async () => {
  const { recovery, attempts } = recoveryWith([]);
  await Promise.all(Array.from({ length: 50 }, () => recovery.run()));
  assert.deepEqual(attempts, [1]);
  assert.ok(!recovery.isRunning);
  await recovery.settled();
});

test("a failed attempt is told to all who wait, and the next ones go on without them", async () => {
  const { recovery, attempts } = recoveryWith([
    "ERR_TOKEN_UNAVAILABLE",
    "ERR_TOKEN_BUSY",
    "ERR_TOKEN_UNAVAILABLE",
  ]);
  await Promise.all(
    Array.from({ length: 5 }, () => assert.rejects(recovery.run(), isCode("ERR_TOKEN_UNAVAILABLE"))),
  );
  await assert.rejects(recovery.settled());
  await until(() => !recovery.isRunning);
  await recovery.settled();
  assert.deepEqual(attempts, [1, 2, 3, 4]);
});

test("a refused PIN ends the attempts for good", async () => {
  const { recovery, attempts, events } = recoveryWith(["ERR_TOKEN_UNAVAILABLE", "ERR_PIN_REJECTED"]);
  await assert.rejects(recovery.run(), isCode("ERR_TOKEN_UNAVAILABLE"));
  await until(() => events.some(({ event }) => event === "token.given_up"));
  for (let count = 0; count < 10; count += 1)
    await assert.rejects(recovery.run(), isCode("ERR_PIN_REJECTED"));
  await assert.rejects(recovery.settled(), isCode("ERR_PIN_REJECTED"));
  assert.deepEqual(attempts, [1, 2]);
});

test("a PIN that is refused at once is not tried a second time", async () => {
  const { recovery, attempts } = recoveryWith(["ERR_PIN_REJECTED"]);
  await assert.rejects(recovery.run(), isCode("ERR_PIN_REJECTED"));
  await assert.rejects(recovery.run(), isCode("ERR_PIN_REJECTED"));
  assert.deepEqual(attempts, [1]);
});

test("after stop no attempt is made any more", async () => {
  const { recovery, attempts } = recoveryWith(Array(1_000).fill("ERR_TOKEN_UNAVAILABLE"));
  await assert.rejects(recovery.run());
  recovery.stop();
  const made = attempts.length;
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.ok(attempts.length <= made + 1);
});

test("attempts that a refused PIN had ended begin again when somebody has acted, and only then", async () => {
  const { recovery, attempts } = recoveryWith(["ERR_PIN_REJECTED", "ERR_PIN_REJECTED", "success", "success"]);
  await assert.rejects(recovery.run(), isCode("ERR_PIN_REJECTED"));
  await assert.rejects(recovery.resume(), isCode("ERR_PIN_REJECTED"));
  await recovery.resume();
  assert.deepEqual(attempts, [1, 1, 1]);
  assert.ok(!recovery.isRunning);
  // Nothing is wrong any more.
  await recovery.resume();
  assert.equal(attempts.length, 3);
});
