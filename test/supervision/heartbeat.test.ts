import assert from "node:assert/strict";
import { test } from "node:test";
import { isWell, type Pulse } from "../../lib/supervision/heartbeat.ts";

interface Row {
  readonly state: string;
  readonly pulse: Pulse;
  readonly well: boolean;
}

/** What it is like, the sessions that are there, lent and overdue, and whether the last signature came about. */
const rows: readonly Row[] = [
  row("nothing to do", [16, 0, 0], true, true),
  row("at work", [16, 5, 0], true, true),
  row("at work with every session", [16, 16, 0], true, true),
  row("the HSM is away, and nothing hangs", [16, 0, 0], false, true),
  row("the HSM is slow, and no call is late yet", [16, 16, 0], false, true),
  row("the module failed: no session is open, none hangs", [0, 0, 0], false, true),
  row("some calls hang, and other sessions are free", [16, 3, 3], true, true),
  row("some calls hang, and a signature failed for another reason", [16, 3, 3], false, true),
  row("every session but one hangs", [16, 15, 15], false, true),
  row("every session is lent, and one call is not late yet", [16, 16, 15], false, true),
  row("every session hangs", [16, 16, 16], false, false),
  row("there were fewer sessions than wanted, and every one hangs", [3, 3, 3], false, false),
  row("the module is to be finalized, and a call hangs inside it", [1, 1, 1], false, false),
  row("calls of a former connection hang too", [16, 20, 20], false, false),
  row(
    "as many calls of a former connection hang as this one has sessions, which sign",
    [16, 16, 16],
    true,
    true,
  ),
];

function row(
  state: string,
  [open, leased, overdue]: readonly [number, number, number],
  signs: boolean,
  well: boolean,
): Row {
  return { state, pulse: { sessions: { open, leased, overdue }, signs }, well };
}

for (const { state, pulse, well } of rows) {
  test(`${well ? "lives" : "is ended"}: ${state}`, () => assert.equal(isWell(pulse), well));
}
