import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { CallerLimits } from "../lib/caller_limits.ts";
import type { LimitsConfig } from "../lib/config/limits.ts";
import { SignerError } from "../lib/errors.ts";
import { fails } from "./support/fails.ts";

function stage(config: Partial<LimitsConfig>) {
  let seconds = 1_000;
  const all: LimitsConfig = { rate: undefined, burst: config.rate ?? 0, inFlight: undefined, ...config };
  const limits = new CallerLimits(all, () => seconds);
  const pass = (more: number): void => {
    seconds += more;
  };
  return { limits, pass };
}

/** How many of so many requests are taken. */
function taken(limits: CallerLimits, caller: string, count: number): number {
  let number = 0;
  for (let index = 0; index < count; index += 1) {
    try {
      limits.admit(caller)();
      number += 1;
    } catch (error) {
      assert.ok(fails("ERR_RATE_LIMITED")(error), String(error));
    }
  }
  return number;
}

function retryAfter(limits: CallerLimits, caller: string): number | undefined {
  try {
    limits.admit(caller);
  } catch (error) {
    return error instanceof SignerError ? error.retryAfter : undefined;
  }
  return undefined;
}

describe("The limits of a caller", () => {
  it("are none where none is set, and nothing is remembered then.", () => {
    const { limits } = stage({});
    for (let count = 0; count < 1_000; count += 1) limits.admit("a");
    assert.equal(limits.callers, 0);
  });

  it("are so many requests at once, then so many a second.", () => {
    const { limits, pass } = stage({ rate: 10, burst: 30 });
    assert.equal(taken(limits, "a", 100), 30);
    pass(1);
    assert.equal(taken(limits, "a", 100), 10);
    pass(0.05);
    assert.equal(taken(limits, "a", 100), 0);
    pass(0.06);
    assert.equal(taken(limits, "a", 100), 1);
    pass(3_600);
    assert.equal(taken(limits, "a", 100), 30);
  });

  it("are each caller's own.", () => {
    const { limits } = stage({ rate: 2 });
    assert.deepEqual([taken(limits, "a", 9), taken(limits, "b", 9), taken(limits, "a", 9)], [2, 2, 0]);
  });

  it("say in whole seconds when the next request is taken.", () => {
    const { limits, pass } = stage({ rate: 1, burst: 1 });
    limits.admit("a");
    assert.equal(retryAfter(limits, "a"), 1);
    pass(0.5);
    assert.equal(retryAfter(limits, "a"), 1);
    pass(0.5);
    assert.equal(retryAfter(limits, "a"), undefined);
  });

  it("are so many requests that are not answered yet.", () => {
    const { limits } = stage({ inFlight: 2 });
    const first = limits.admit("a");
    limits.admit("a");
    assert.throws(() => limits.admit("a"), fails("ERR_TOO_MANY_REQUESTS_IN_FLIGHT"));
    assert.equal(retryAfter(limits, "a"), 1);
    limits.admit("b");
    first();
    limits.admit("a");
    assert.throws(() => limits.admit("a"), fails("ERR_TOO_MANY_REQUESTS_IN_FLIGHT"));
  });

  it("do not count a request that is refused.", () => {
    const { limits, pass } = stage({ rate: 1, burst: 1, inFlight: 5 });
    const first = limits.admit("a");
    assert.equal(taken(limits, "a", 10), 0);
    first();
    pass(1);
    assert.equal(taken(limits, "a", 10), 1);
  });

  it("change for those who are known already, and who is in flight stays counted.", () => {
    const { limits, pass } = stage({ inFlight: 1 });
    const first = limits.admit("a");
    limits.configure({ rate: 5, burst: 5, inFlight: 2 });
    pass(10);
    limits.admit("a");
    assert.throws(() => limits.admit("a"), fails("ERR_TOO_MANY_REQUESTS_IN_FLIGHT"));
    first();
    limits.admit("a");
  });

  it("are forgotten with callers who have not been seen for a while, and not before.", () => {
    const { limits, pass } = stage({ rate: 1, burst: 2 });
    const busy = limits.admit("busy");
    for (let round = 0; round < 50; round += 1) {
      for (let count = 0; count < 100; count += 1) limits.admit(`${round} ${count}`)();
      pass(1);
      assert.ok(limits.callers <= 512, String(limits.callers));
    }
    busy();
    assert.equal(taken(limits, "49 99", 5), 2);
  });

  it("hold for those who are seen again while others are forgotten.", () => {
    const { limits, pass } = stage({ rate: 1, burst: 1 });
    let seen = 0;
    for (let second = 0; second < 20; second += 0.1) {
      seen += taken(limits, "steady", 1);
      for (let count = 0; count < 50; count += 1) taken(limits, `${second} ${count}`, 1);
      pass(0.1);
    }
    assert.ok(seen >= 19 && seen <= 21, String(seen));
  });
});
