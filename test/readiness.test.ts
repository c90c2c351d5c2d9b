import assert from "node:assert/strict";
import { test } from "node:test";
import { type Deferred, deferred } from "../lib/deferred.ts";
import { SignerError } from "../lib/errors.ts";
import { Readiness, type ReadinessOptions } from "../lib/readiness.ts";
import { recordingLog } from "./support/recording_log.ts";

/** Nothing here takes so long; whatever waits for it shows. */
const FAR_AWAY_MS = 30_000;

interface Stage {
  readonly readiness: Readiness;
  /** The probes so far; each ends when its test says so. */
  readonly probes: readonly Deferred<void>[];
  readonly clock: { now: number };
  readonly events: ReturnType<typeof recordingLog>["events"];
}

function stage(options: Partial<ReadinessOptions> = {}): Stage {
  const probes: Deferred<void>[] = [];
  const clock = { now: 50_000 };
  const { log, events } = recordingLog();
  const readiness = new Readiness({
    probe() {
      const probe = deferred<void>();
      probes.push(probe);
      return probe.promise;
    },
    deadlineMs: FAR_AWAY_MS,
    validityMs: 1_000,
    log,
    clock: () => clock.now,
    ...options,
  });
  return { readiness, probes, clock, events };
}

/** Asks, lets the probe that this starts succeed or fail, and says whether the answer was "ready". */
async function ask({ readiness, probes }: Stage, failure?: Error): Promise<boolean> {
  const answer = readiness.check();
  if (failure === undefined) probes.at(-1)?.resolve();
  else probes.at(-1)?.reject(failure);
  return answer.then(
    () => true,
    () => false,
  );
}

const away = new SignerError("ERR_TOKEN_UNAVAILABLE", "Cannot sign: the token is away");

test("a probe that succeeds makes it ready, and is nothing for the log", async () => {
  const subject = stage();
  assert.equal(await ask(subject), true);
  assert.deepEqual(subject.events, []);
});

test("a probe that fails is the answer, as it is", async () => {
  const { readiness, probes } = stage();
  const answer = readiness.check();
  probes[0]?.reject(away);
  await assert.rejects(answer, away);
});

test("a probe that throws before it begins is a probe that fails", async () => {
  const subject = stage({
    probe() {
      throw away;
    },
  });
  await assert.rejects(subject.readiness.check(), away);
  assert.deepEqual(
    subject.events.map(({ event }) => event),
    ["ready.no_more"],
  );
});

test("however many ask at once, there is one probe, and all get its answer", async () => {
  for (const failure of [undefined, away]) {
    const { readiness, probes } = stage();
    const answers = Array.from({ length: 100 }, () => readiness.check());
    assert.equal(probes.length, 1);
    if (failure === undefined) probes[0]?.resolve();
    else probes[0]?.reject(failure);
    const outcomes = new Set((await Promise.allSettled(answers)).map(({ status }) => status));
    assert.deepEqual([...outcomes], [failure === undefined ? "fulfilled" : "rejected"]);
    assert.equal(probes.length, 1);
  }
});

test("an answer is good for its validity, whichever it is, and not for longer", async () => {
  for (const failure of [undefined, away]) {
    const subject = stage();
    const isReady = failure === undefined;
    assert.equal(await ask(subject, failure), isReady);
    subject.clock.now += 999;
    assert.equal(await ask(subject), isReady);
    assert.equal(subject.probes.length, 1);
    subject.clock.now += 1;
    assert.equal(await ask(subject, failure), isReady);
    assert.equal(subject.probes.length, 2);
  }
});

test("validity begins with the answer, not with the question: a slow probe is not doubled", async () => {
  const { readiness, probes, clock } = stage();
  const first = readiness.check();
  clock.now += 1_500;
  const second = readiness.check();
  assert.equal(probes.length, 1);
  probes[0]?.resolve();
  await Promise.all([first, second]);
  clock.now += 999;
  await readiness.check();
  assert.equal(probes.length, 1);
});

test("a probe that is late is answered at the deadline, with a code and the time it had", async () => {
  const subject = stage({ deadlineMs: 5 });
  await assert.rejects(subject.readiness.check(), {
    code: "ERR_SIGN_TIMEOUT",
    message: "Cannot sign: no answer for 5 ms",
  });
  assert.deepEqual(subject.events, [
    { level: "error", event: "ready.no_more", fields: { reason: "Cannot sign: no answer for 5 ms" } },
  ]);
});

test("a probe that is late is waited for again, and not doubled, until it ends", async () => {
  const subject = stage({ deadlineMs: 5 });
  const { readiness, probes, clock } = subject;
  for (let round = 0; round < 3; round += 1) {
    await assert.rejects(readiness.check(), { code: "ERR_SIGN_TIMEOUT" });
    clock.now += 1_000;
  }
  assert.equal(probes.length, 1);
  assert.equal(await ask(subject), true);
  clock.now += 1_000;
  assert.equal(await ask(subject), true);
  assert.equal(probes.length, 2);
});

test("a late probe that fails when nobody waits for it any more hurts nobody", async () => {
  const subject = stage({ deadlineMs: 5 });
  await assert.rejects(subject.readiness.check(), { code: "ERR_SIGN_TIMEOUT" });
  subject.probes[0]?.reject(away);
  // An unhandled rejection would fail this file.
  await new Promise(setImmediate);
  subject.clock.now += 1_000;
  assert.equal(await ask(subject), true);
  assert.equal(subject.probes.length, 2);
});

test("a failure is in the log once, with its reason, and so is the recovery", async () => {
  const subject = stage();
  const outcomes = [undefined, away, away, new Error("still away"), undefined, undefined, away];
  for (const failure of outcomes) {
    await ask(subject, failure);
    subject.clock.now += 1_000;
  }
  assert.equal(subject.probes.length, outcomes.length);
  const reason = "Cannot sign: the token is away";
  assert.deepEqual(subject.events, [
    { level: "error", event: "ready.no_more", fields: { reason } },
    { level: "info", event: "ready.again", fields: undefined },
    { level: "error", event: "ready.no_more", fields: { reason } },
  ]);
});

function runningTimers(): number {
  return process.getActiveResourcesInfo().filter((resource) => resource === "Timeout").length;
}

test("no timer is left behind, whatever became of the probe", async () => {
  const before = runningTimers();
  const waiting = stage();
  const answer = waiting.readiness.check();
  assert.equal(runningTimers(), before + 1);
  waiting.probes[0]?.resolve();
  await answer;
  assert.equal(runningTimers(), before);

  await ask(stage(), away);
  await assert.rejects(stage({ deadlineMs: 5 }).readiness.check());
  const thrower = stage({
    probe() {
      throw away;
    },
  });
  await assert.rejects(thrower.readiness.check());
  assert.equal(runningTimers(), before);
});

test("those who ask while a probe runs share its deadline, the first time and later", async () => {
  const { readiness, probes, clock } = stage();
  for (const round of [0, 1, 2]) {
    const before = runningTimers();
    const first = readiness.check();
    clock.now += 5_000;
    const second = readiness.check();
    assert.equal(runningTimers(), before + 1);
    probes[round]?.resolve();
    await Promise.all([first, second]);
    clock.now += 1_000;
  }
  assert.equal(probes.length, 3);
});

test("without a clock of its own it takes the process's, which only goes forward", async () => {
  const { log } = recordingLog();
  let probes = 0;
  const options = {
    probe: async () => {
      probes += 1;
    },
    deadlineMs: FAR_AWAY_MS,
    log,
  };
  const patient = new Readiness({ ...options, validityMs: FAR_AWAY_MS });
  await patient.check();
  await patient.check();
  assert.equal(probes, 1);
  const impatient = new Readiness({ ...options, validityMs: 0 });
  await impatient.check();
  await impatient.check();
  assert.equal(probes, 3);
});
