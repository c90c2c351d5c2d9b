import assert from "node:assert/strict";
import { test } from "node:test";
import { lacks } from "../lib/runtime.ts";
import { type Aging, BALLAST, MEMBERS } from "./support/aging.ts";
import { startModule } from "./support/module_process.ts";

/**
 * What a request made is garbage when it is answered. Where something that is old and gone refers to it still, it grows
 * old itself: so it does in the tables of a Map or Set that gains and loses members all the time. Then the whole heap
 * has to be marked several times a second.
 */
async function agedIn(what: Aging): Promise<number> {
  const child = startModule(
    `import { prepareProcess } from "./lib/runtime.ts";
    import { AGED } from "./test/support/aging.ts";
    prepareProcess();
    console.log(await AGED.${what}());`,
  );
  const [output, code] = await Promise.all([child.output(), child.ended]);
  assert.equal(code, 0);
  return Number(output);
}

/** Of each member, in bytes. With a Map or Set it was 170 and more. */
const MOST = 50;
/** The same where each member has a timer. */
const MOST_WITH_TIMER = lacks("timers that let go") ? 250 : MOST;

test("the proof works: of a Map whose members come and go, they grow old", async () => {
  const aged = await agedIn("map");
  assert.ok(aged > MEMBERS * BALLAST, `${aged} bytes`);
});

for (const [what, most] of [
  ["waitingLine", MOST_WITH_TIMER],
  ["connections", MOST],
  ["admission", MOST_WITH_TIMER],
] as const) {
  test(`nothing of what comes and goes grows old: ${what}`, async () => {
    const aged = await agedIn(what);
    assert.ok(aged < most * MEMBERS, `${aged} bytes`);
  });
}
