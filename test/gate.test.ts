import assert from "node:assert/strict";
import { test } from "node:test";
import { ANONYMOUS } from "../lib/caller.ts";
import { deferred } from "../lib/deferred.ts";
import { Gate } from "../lib/gate.ts";

const timings = { queueMs: 0, tokenMs: 0 };

test("who has gone away while he waited for his turn costs the token nothing", async () => {
  const gate = new Gate({ sessions: 1, limits: { rate: undefined, burst: 1, inFlight: undefined } });
  const signature = deferred<string>();
  const ask = (isGone: boolean, sign: () => Promise<string>): Promise<string> =>
    gate.sign({ caller: ANONYMOUS, isGone: () => isGone }, { ...timings }, sign);
  const [first, second] = [ask(false, () => signature.promise), ask(false, () => signature.promise)];
  let asked = 0;
  const later = (isGone: boolean): Promise<string> =>
    ask(isGone, async () => {
      asked += 1;
      return "another";
    });
  const [gone, patient] = [later(true), later(false)];
  const refused = assert.rejects(gone, { code: "ERR_CLIENT_GONE" });
  assert.deepEqual(gate.queue, { running: 2, waiting: 2, callers: 1 });
  signature.resolve("one");
  await refused;
  assert.deepEqual(await Promise.all([first, second, patient]), ["one", "one", "another"]);
  assert.equal(asked, 1);
  assert.deepEqual(gate.queue, { running: 0, waiting: 0, callers: 0 });
});
