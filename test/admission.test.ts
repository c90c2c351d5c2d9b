import assert from "node:assert/strict";
import { afterEach, describe, it, mock } from "node:test";
import { Admission, type AdmissionOptions } from "../lib/admission.ts";
import { type Deferred, deferred } from "../lib/deferred.ts";
import { fails } from "./support/fails.ts";
import { SeededRandom } from "./support/seeded_random.ts";

/** Work that ends when the test says so, and in which order it began. */
class Stage {
  readonly admission: Admission;
  readonly begun: string[] = [];
  readonly #running: Deferred<void>[] = [];

  constructor(options: Partial<AdmissionOptions> = {}) {
    this.admission = new Admission({ slots: 1, maxWaiting: 100, maxWaitMs: 1_000, ...options });
  }

  /** @returns what becomes of it */
  ask(caller: string, name: string = caller): Promise<string> {
    return this.admission.run(caller, async () => {
      this.begun.push(name);
      const work = deferred<void>();
      this.#running.push(work);
      await work.promise;
      return name;
    });
  }

  /** Ends the work that began first. */
  async end(): Promise<void> {
    this.#running.shift()?.resolve();
    await settled();
  }

  async endAll(): Promise<void> {
    while (this.#running.length > 0) await this.end();
  }
}

/** Everything that was ready to go on has gone on. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("The queue before the token", () => {
  afterEach(() => mock.timers.reset());

  it("lets through at once as many as there are slots.", async () => {
    const stage = new Stage({ slots: 3 });
    for (const name of ["1", "2", "3", "4"]) void stage.ask("a", name);
    assert.deepEqual(stage.begun, ["1", "2", "3"]);
    assert.deepEqual(stage.admission.state, { running: 3, waiting: 1, callers: 1 });
    await stage.end();
    assert.deepEqual(stage.begun, ["1", "2", "3", "4"]);
    await stage.endAll();
    assert.deepEqual(stage.admission.state, { running: 0, waiting: 0, callers: 0 });
  });

  it("keeps the order of one caller.", async () => {
    const stage = new Stage();
    const names = Array.from({ length: 20 }, (_, index) => String(index));
    for (const name of names) void stage.ask("a", name);
    await settled();
    await stage.endAll();
    assert.deepEqual(stage.begun, names);
  });

  it("lets callers take turns, however many wait of each.", async () => {
    const stage = new Stage();
    for (let count = 0; count < 50; count += 1) void stage.ask("a");
    for (const caller of ["b", "c", "b"]) void stage.ask(caller);
    await settled();
    for (let count = 0; count < 8; count += 1) await stage.end();
    assert.deepEqual(stage.begun, ["a", "a", "b", "c", "a", "b", "a", "a", "a"]);
    await stage.endAll();
  });

  it("has whoever comes late wait for one turn of each other caller at most.", async () => {
    const random = new SeededRandom(7);
    const stage = new Stage();
    const callers = ["a", "b", "c", "d", "e"];
    for (let round = 0; round < 300; round += 1) {
      for (const caller of callers) if (random.isLucky(0.5)) void stage.ask(caller).catch(() => {});
      await settled();
      const late = `late ${round}`;
      const before = stage.begun.length;
      const done = stage.ask(late).catch(() => {});
      await settled();
      while (!stage.begun.includes(late)) await stage.end();
      assert.ok(stage.begun.length - before <= callers.length + 2, `round ${round}`);
      await stage.end();
      await done;
    }
    await stage.endAll();
    assert.deepEqual(stage.admission.state, { running: 0, waiting: 0, callers: 0 });
  });

  it("gives the slot on when work fails, at once or later.", async () => {
    const { admission } = new Stage();
    const failed = new Error("it failed");
    const fail = (): never => {
      throw failed;
    };
    await assert.rejects(admission.run("a", fail), failed);
    await assert.rejects(
      admission.run("a", () => Promise.reject(failed)),
      failed,
    );
    assert.equal(await admission.run("a", async () => 1), 1);
    assert.deepEqual(admission.state, { running: 0, waiting: 0, callers: 0 });
  });

  it("refuses whoever waits too long, and nobody else.", async () => {
    mock.timers.enable({ apis: ["setTimeout"] });
    const stage = new Stage({ maxWaitMs: 1_000 });
    void stage.ask("a", "running");
    const first = stage.ask("a", "first");
    mock.timers.tick(600);
    const second = stage.ask("b", "second");
    mock.timers.tick(400);
    await assert.rejects(first, fails("ERR_TOKEN_BUSY", /1000 ms/));
    assert.deepEqual(stage.admission.state, { running: 1, waiting: 1, callers: 1 });
    await stage.end();
    mock.timers.tick(10_000);
    await stage.end();
    assert.equal(await second, "second");
    assert.deepEqual(stage.begun, ["running", "second"]);
  });

  it("refuses a caller who fills it alone, and keeps what waits already.", async () => {
    const stage = new Stage({ maxWaiting: 2 });
    const kept = ["running", "1", "2"].map((name) => stage.ask("a", name));
    await assert.rejects(stage.ask("a", "3"), fails("ERR_TOKEN_BUSY", /2 others wait/));
    await settled();
    await stage.endAll();
    assert.deepEqual(await Promise.all(kept), ["running", "1", "2"]);
  });

  it("makes room for others where one caller has filled it: the last one of his gives way.", async () => {
    const stage = new Stage({ maxWaiting: 4 });
    void stage.ask("a", "running");
    const waiting = ["a1", "a2", "a3", "a4"].map((name) => stage.ask("a", name));
    const other = stage.ask("b", "b1");
    await assert.rejects(waiting[3] ?? other, fails("ERR_TOKEN_BUSY", /have less/));
    const second = stage.ask("b", "b2");
    await assert.rejects(waiting[2] ?? other, fails("ERR_TOKEN_BUSY", /have less/));
    // Two each: nobody gives way to more.
    await assert.rejects(stage.ask("b", "b3"), fails("ERR_TOKEN_BUSY"));
    await assert.rejects(stage.ask("a", "a5"), fails("ERR_TOKEN_BUSY"));
    assert.deepEqual(stage.admission.state, { running: 1, waiting: 4, callers: 2 });
    await settled();
    await stage.endAll();
    assert.deepEqual(await Promise.all([other, second]), ["b1", "b2"]);
    assert.deepEqual(stage.begun, ["running", "a1", "b1", "a2", "b2"]);
  });
});
