import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, mock, test } from "node:test";
import { SignerError } from "../../lib/errors.ts";
import type { Message } from "../../lib/supervision/notifier.ts";
import { type Supervised, Supervisor } from "../../lib/supervision/supervisor.ts";
import { recordingLog } from "../support/recording_log.ts";
import { temporaryDirectory } from "../support/temporary.ts";

const WATCHDOG_US = 30_000_000;
/** Three in the time of the watchdog. */
const BEAT_MS = 10_000;
const RECOVERY_US = 900_000_000;

/** A service that can be made ill. */
interface Patient extends Supervised {
  sessions: Supervised["sessions"];
  warning: string | undefined;
  trouble: Error | undefined;
}

interface Stage {
  readonly supervisor: Supervisor;
  readonly patient: Patient;
  readonly events: ReturnType<typeof recordingLog>["events"];
  /** What was sent since the last call. */
  news(): Message[];
  /** Lets the time of a heartbeat go by. */
  beat(): Promise<void>;
}

function stage(
  environment: Readonly<Record<string, string>> = { WATCHDOG_USEC: String(WATCHDOG_US) },
): Stage {
  mock.timers.enable({ apis: ["setInterval"] });
  const messages: Message[] = [];
  const { log, events } = recordingLog();
  const patient: Patient = {
    url: "http://127.0.0.1:1",
    sessions: { open: 2, leased: 0, overdue: 0 },
    warning: undefined,
    trouble: undefined,
    check: async () => {
      if (patient.trouble !== undefined) throw patient.trouble;
    },
  };
  const notifier = { send: (message: Message) => void messages.push(message), close: async () => {} };
  const supervisor = new Supervisor({ environment, log, pid: 77, notifier });
  return {
    supervisor,
    patient,
    events,
    news: () => messages.splice(0),
    beat: async () => {
      mock.timers.tick(BEAT_MS);
      // The outcome of the check.
      await new Promise((resolve) => setImmediate(resolve));
    },
  };
}

const away = new SignerError("ERR_TOKEN_UNAVAILABLE", "Cannot sign: the token is away");
const hangs = new SignerError("ERR_TOKEN_HANGS", "Cannot get a session: all hang");

afterEach(() => mock.timers.reset());

test("a service that is ready says so once, and then gives a heartbeat and no further news", async () => {
  const { supervisor, patient, news, beat } = stage();
  supervisor.starting();
  assert.deepEqual(news(), [{ STATUS: "Opening the token" }]);
  supervisor.ready(patient);
  assert.deepEqual(news(), [{ READY: 1, STATUS: "Signing, on http://127.0.0.1:1" }]);
  await beat();
  await beat();
  assert.deepEqual(news(), [{ WATCHDOG: 1 }, { WATCHDOG: 1 }]);
});

test("a token that is away is told, and gets its heartbeat", async () => {
  const { supervisor, patient, news, beat } = stage();
  supervisor.ready(patient);
  news();
  patient.trouble = away;
  await beat();
  assert.deepEqual(news(), [{ WATCHDOG: 1 }, { STATUS: "Not signing: Cannot sign: the token is away" }]);
  await beat();
  assert.deepEqual(news(), [{ WATCHDOG: 1 }]);
  patient.trouble = undefined;
  await beat();
  assert.deepEqual(news(), [{ WATCHDOG: 1 }, { STATUS: "Signing, on http://127.0.0.1:1" }]);
});

test("a service whose every session hangs gets no heartbeat, says why, and gets it again when they return", async () => {
  const { supervisor, patient, events, news, beat } = stage();
  supervisor.ready(patient);
  patient.sessions = { open: 2, leased: 2, overdue: 2 };
  patient.trouble = hangs;
  await beat();
  news();
  await beat();
  await beat();
  const status =
    "Not signing: Cannot get a session: all hang; the watchdog ends the process unless that changes";
  assert.deepEqual(news(), [{ STATUS: status }]);
  assert.deepEqual(
    events.map(({ level, event }) => [level, event]),
    [["error", "watchdog.withheld"]],
  );
  patient.sessions = { open: 2, leased: 0, overdue: 0 };
  patient.trouble = undefined;
  await beat();
  assert.deepEqual(news()[0]?.["WATCHDOG"], 1);
});

test("while the token is brought back systemd is asked for more patience, at once, and for no more than that", async () => {
  const { supervisor, patient, news, beat } = stage();
  supervisor.ready(patient);
  news();
  supervisor.log("warning", "token.recovering");
  assert.deepEqual(news(), [{ WATCHDOG_USEC: RECOVERY_US, WATCHDOG: 1 }]);
  await beat();
  assert.deepEqual(news(), [{ WATCHDOG: 1 }]);
  for (const event of ["token.recovered", "token.given_up"]) {
    supervisor.log("info", event);
    assert.deepEqual(news(), [{ WATCHDOG_USEC: WATCHDOG_US, WATCHDOG: 1 }], event);
    supervisor.log("warning", "token.recovering");
    news();
  }
  patient.sessions = { open: 2, leased: 2, overdue: 2 };
  patient.trouble = hangs;
  await beat();
  news();
  await beat();
  assert.deepEqual(news()[0]?.["WATCHDOG_USEC"], WATCHDOG_US, "calls that hang end the patience");
});

test("where systemd wants no heartbeat it gets none, but hears what is wrong", async () => {
  for (const environment of [{}, { WATCHDOG_USEC: String(WATCHDOG_US), WATCHDOG_PID: "78" }]) {
    const { supervisor, patient, news, beat } = stage(environment);
    supervisor.ready(patient);
    news();
    patient.trouble = away;
    supervisor.log("warning", "token.recovering");
    await beat();
    await beat();
    assert.deepEqual(news(), [{ STATUS: "Not signing: Cannot sign: the token is away" }]);
    mock.timers.reset();
  }
});

test("what will be wrong before long stands beside what is", () => {
  const { supervisor, patient, news } = stage();
  patient.warning = '"a": it ends in 3 days';
  supervisor.ready(patient);
  assert.deepEqual(news(), [{ READY: 1, STATUS: 'Signing, on http://127.0.0.1:1; "a": it ends in 3 days' }]);
});

test("a reload that changed nothing says so until another one does", () => {
  const { supervisor, patient, news } = stage();
  supervisor.ready(patient);
  news();
  supervisor.reloading();
  const [{ RELOADING, MONOTONIC_USEC } = {}] = news();
  assert.equal(RELOADING, 1);
  assert.match(String(MONOTONIC_USEC), /^\d+$/);
  supervisor.reloaded(["A is wrong.", "B is wrong."]);
  const status = "Signing, on http://127.0.0.1:1; the last reload changed nothing: A is wrong. B is wrong.";
  assert.deepEqual(news(), [{ READY: 1, STATUS: status }]);
  supervisor.reloaded([]);
  assert.deepEqual(news(), [{ READY: 1, STATUS: "Signing, on http://127.0.0.1:1" }]);
});

test("how a reload went is left where whoever asked for it waits: nothing after a success", () => {
  const directory = temporaryDirectory();
  const { supervisor, patient } = stage({ RUNTIME_DIRECTORY: directory });
  supervisor.ready(patient);
  supervisor.reloaded(["A is wrong.", "B is wrong."]);
  assert.equal(readFileSync(join(directory, "reload"), "utf8"), "A is wrong.\nB is wrong.\n");
  supervisor.reloaded([]);
  assert.equal(readFileSync(join(directory, "reload"), "utf8"), "");
});

test("an outcome that cannot be left anywhere is a warning, and no more", () => {
  const { supervisor, patient, events } = stage({ RUNTIME_DIRECTORY: join(temporaryDirectory(), "gone") });
  supervisor.ready(patient);
  supervisor.reloaded([]);
  assert.deepEqual(
    events.map(({ level, event }) => [level, event]),
    [["warning", "reload.outcome_unknown"]],
  );
});

test("a service that stops gives no heartbeat any more", async () => {
  const { supervisor, patient, news, beat } = stage();
  supervisor.ready(patient);
  news();
  supervisor.stopping();
  await beat();
  assert.deepEqual(news(), [{ STOPPING: 1, STATUS: "Answering what is in flight" }]);
});

test("why a start failed is told", async () => {
  const { supervisor, news } = stage();
  await supervisor.failed(["A is wrong.", "B is wrong."]);
  assert.deepEqual(news(), [{ STATUS: "A is wrong. B is wrong." }]);
});
