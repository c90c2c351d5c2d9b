import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { deferred } from "../../lib/deferred.ts";
import { type PassOn, SessionPool, type SessionPoolOptions } from "../../lib/hsm/session_pool.ts";
import type { StandBy } from "../../lib/hsm/waiting_line.ts";

/** Sessions that are numbers, and what was done with them. */
let opened = 0;
let closed: number[] = [];
let failOpen = false;
beforeEach(() => {
  opened = 0;
  closed = [];
  failOpen = false;
});

function pool(options: Partial<SessionPoolOptions<number>> = {}): SessionPool<number> {
  return new SessionPool<number>({
    size: 2,
    maxWaiters: 2,
    waitTimeoutMs: 60_000,
    operationTimeoutMs: 60_000,
    open() {
      if (failOpen) throw new Error("no session to be had");
      opened += 1;
      return opened;
    },
    close: (session) => void closed.push(session),
    isShortage: (error) => error instanceof Error && error.message === "CKR_SESSION_COUNT",
    isReusableAfter: (error) => error instanceof Error && error.message === "caller",
    ...options,
  });
}

const isCode = (code: string) => (error: unknown) =>
  error instanceof Error && "code" in error && error.code === code;

/** An operation that ends when it is told to. */
function operation() {
  const { promise, resolve, reject } = deferred<string>();
  const started = deferred<number>();
  const use = (session: number): Promise<string> => {
    started.resolve(session);
    return promise;
  };
  return { use, session: started.promise, resolve, reject };
}

test("a session is lent to one caller at a time, and further callers wait in order", async () => {
  const subject = pool();
  const [first, second, third, fourth] = [operation(), operation(), operation(), operation()];
  const results = [first, second, third, fourth].map(({ use }) => subject.withSession(use));
  assert.deepEqual([await first.session, await second.session], [1, 2]);
  assert.deepEqual({ ...subject.state }, { size: 2, open: 2, leased: 2, overdue: 0, waiting: 2 });
  second.resolve("b");
  assert.equal(await third.session, 2);
  first.resolve("a");
  assert.equal(await fourth.session, 1);
  third.resolve("c");
  fourth.resolve("d");
  assert.deepEqual(await Promise.all(results), ["a", "b", "c", "d"]);
  assert.equal(opened, 2);
});

test("a caller too many is turned away at once", async () => {
  const subject = pool({ size: 1, maxWaiters: 1 });
  const [running, waiting] = [operation(), operation()];
  const results = [subject.withSession(running.use), subject.withSession(waiting.use)];
  await running.session;
  await assert.rejects(
    subject.withSession(async () => "never"),
    isCode("ERR_TOKEN_BUSY"),
  );
  running.resolve("");
  waiting.resolve("");
  await Promise.all(results);
});

test("a caller that waits too long is turned away, and his place is not served", async () => {
  const subject = pool({ size: 1, waitTimeoutMs: 1 });
  const running = operation();
  const result = subject.withSession(running.use);
  await assert.rejects(
    subject.withSession(async () => "never"),
    isCode("ERR_TOKEN_BUSY"),
  );
  assert.equal(subject.state.waiting, 0);
  running.resolve("done");
  assert.equal(await result, "done");
  assert.equal(await subject.withSession(async (session) => `${session}`), "1");
});

test("a session comes back after success and after the caller's own errors, and after no other", async () => {
  const subject = pool({ size: 1 });
  await subject.withSession(async () => "fine");
  await assert.rejects(subject.withSession(async () => Promise.reject(new Error("caller"))));
  assert.deepEqual([opened, closed], [1, []]);
  await assert.rejects(subject.withSession(async () => Promise.reject(new Error("broken"))));
  assert.deepEqual(closed, [1]);
  assert.equal(await subject.withSession(async (session) => `${session}`), "2");
});

test("an operation past its deadline is answered, and its session is closed only when it ends", async () => {
  const subject = pool({ size: 1, operationTimeoutMs: 1 });
  const hung = operation();
  await assert.rejects(subject.withSession(hung.use), isCode("ERR_SIGN_TIMEOUT"));
  assert.deepEqual({ ...subject.state }, { size: 1, open: 1, leased: 1, overdue: 1, waiting: 0 });
  assert.deepEqual(closed, []);
  hung.resolve("too late");
  await hung.session;
  await new Promise(setImmediate);
  assert.deepEqual({ ...subject.state }, { size: 1, open: 0, leased: 0, overdue: 0, waiting: 0 });
  assert.deepEqual(closed, [1]);
});

test("when no session can be opened for a waiting caller he gets the reason, and the next one his turn", async () => {
  const subject = pool({ size: 1 });
  const broken = operation();
  const result = subject.withSession(broken.use);
  await broken.session;
  const waiters = [subject.withSession(async () => "one"), subject.withSession(async () => "two")];
  failOpen = true;
  broken.reject(new Error("broken"));
  await assert.rejects(result, /broken/);
  for (const waiter of waiters) await assert.rejects(waiter, /no session to be had/);
  failOpen = false;
  assert.equal(await subject.withSession(async () => "again"), "again");
});

test("a token that gives fewer sessions than wanted makes a smaller pool; one that gives none is an error", async () => {
  let left = 3;
  const open = (): number => {
    if (left === 0) throw new Error("CKR_SESSION_COUNT");
    left -= 1;
    return left;
  };
  const subject = pool({ size: 10, open });
  assert.match(String(subject.fill()), /CKR_SESSION_COUNT/);
  assert.deepEqual([subject.state.size, subject.state.open], [10, 3]);
  assert.throws(() => pool({ size: 1, open }).fill(), /CKR_SESSION_COUNT/);
});

test("close refuses those who wait and who come, lets the running ones end, and closes every session", async () => {
  const subject = pool({ size: 1 });
  const running = operation();
  const result = subject.withSession(running.use);
  await running.session;
  const waiting = assert.rejects(
    subject.withSession(async () => "never"),
    isCode("ERR_STOPPING"),
  );
  const closing = subject.close(60_000);
  await waiting;
  await assert.rejects(
    subject.withSession(async () => "never"),
    isCode("ERR_STOPPING"),
  );
  running.resolve("in flight");
  assert.equal(await result, "in flight");
  assert.equal(await closing, 0);
  assert.deepEqual(closed, [1]);
});

test("close tells of an operation that does not end, and leaves its session alone", async () => {
  const subject = pool({ size: 2 });
  const hung = operation();
  void subject.withSession(hung.use);
  await hung.session;
  assert.equal(await subject.close(1), 1);
  assert.deepEqual(closed, []);
  hung.resolve("");
});

test("where others hold all that the token gives, a caller waits for one of theirs; later the pool grows again", async () => {
  let limit = 2;
  let out = 0;
  const open = (): number => {
    if (out >= limit) throw new Error("CKR_SESSION_COUNT");
    out += 1;
    return out;
  };
  const subject = pool({ size: 4, maxWaiters: 10, open });
  subject.fill();
  const operations = Array.from({ length: 6 }, operation);
  const results = operations.map(({ use }) => subject.withSession(use));
  await new Promise(setImmediate);
  assert.deepEqual([subject.state.leased, subject.state.waiting], [2, 4]);
  for (const { resolve } of operations) resolve("done");
  await Promise.all(results);
  limit = 4;
  const more = Array.from({ length: 4 }, operation);
  const moreResults = more.map(({ use }) => subject.withSession(use));
  await new Promise(setImmediate);
  assert.deepEqual([subject.state.leased, subject.state.waiting], [4, 0]);
  for (const { resolve } of more) resolve("done");
  await Promise.all(moreResults);
});

test("when opening fails, those who wait are told at once, and it is not tried for each of them", async () => {
  let attempts = 0;
  let isAway = false;
  const open = (): number => {
    attempts += 1;
    if (isAway) throw new Error("CKR_DEVICE_ERROR");
    return attempts;
  };
  const subject = pool({ size: 1, maxWaiters: 300, open });
  const running = operation();
  const result = subject.withSession(running.use);
  await running.session;
  const waiters = Array.from({ length: 300 }, () => subject.withSession(async () => "never"));
  isAway = true;
  running.reject(new Error("broken"));
  await assert.rejects(result);
  for (const outcome of await Promise.allSettled(waiters)) assert.equal(outcome.status, "rejected");
  assert.equal(attempts, 2);
});

test("when every session hangs, those who wait and who come are told at once, until one returns", async () => {
  const overdue: number[] = [];
  const subject = pool({
    operationTimeoutMs: 1,
    onOverdue: (state) => void overdue.push(state.overdue),
  });
  const [first, second] = [operation(), operation()];
  const hung = [subject.withSession(first.use), subject.withSession(second.use)];
  const waiting = subject.withSession(async () => "never");
  for (const caller of hung) await assert.rejects(caller, isCode("ERR_SIGN_TIMEOUT"));
  await assert.rejects(waiting, isCode("ERR_TOKEN_HANGS"));
  await assert.rejects(
    subject.withSession(async () => "never"),
    isCode("ERR_TOKEN_HANGS"),
  );
  assert.deepEqual(overdue, [1, 2]);
  first.resolve("too late");
  await new Promise(setImmediate);
  assert.equal(await subject.withSession(async () => "again"), "again");
  second.resolve("");
});

test("an operation without a deadline is waited for, however long it takes", async () => {
  const subject = pool({ size: 1, operationTimeoutMs: 1 });
  const slow = operation();
  const result = subject.withSession(slow.use, { withoutDeadline: true });
  await slow.session;
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(subject.state.overdue, 0);
  slow.resolve("done");
  assert.equal(await result, "done");
});

test("a caller who wants a new session gets one in the place of an idle one, or that one where there is no other", async () => {
  let limit = Number.POSITIVE_INFINITY;
  const open = (): number => {
    if (opened >= limit) throw new Error("CKR_SESSION_COUNT");
    opened += 1;
    return opened;
  };
  const subject = pool({ size: 1, open });
  subject.fill();
  assert.equal(await subject.withSession(async (session) => `${session}`, { fresh: true }), "2");
  assert.deepEqual(closed, [1]);
  limit = opened;
  assert.equal(await subject.withSession(async (session) => `${session}`, { fresh: true }), "2");
  assert.deepEqual({ ...subject.state }, { size: 1, open: 1, leased: 0, overdue: 0, waiting: 0 });
});

// Sessions that pass from one operation to the next before the pool hears of it.

/** Where operations stand by, as threads see it. */
class Relay {
  /** Of those who stand by, the oldest first. */
  readonly tickets: number[] = [];
  /** Tickets that were given, which are numbered. */
  given = 0;

  /** An operation that may stand by here. */
  operation() {
    const { promise, resolve, reject } = deferred<string>();
    const lent: number[] = [];
    const told: PassOn[] = [];
    const use = (session: number, passOn: PassOn): Promise<string> => {
      lent.push(session);
      told.push(passOn);
      return promise;
    };
    const standBy = (passOn: PassOn): StandBy<string> => {
      this.given += 1;
      const ticket = this.given;
      this.tickets.push(ticket);
      told.push(passOn);
      return { ticket, result: promise, withdraw: () => this.#withdraw(ticket) };
    };
    /** The pool hears that it has succeeded, and that its session has passed to another one. */
    const passOn = (ticket: number): void => {
      told.at(-1)?.(ticket);
      resolve(`before ${ticket}`);
    };
    return { use, options: { standBy }, lent, resolve, reject, passOn };
  }

  /** A thread takes the oldest one. */
  take(): number {
    const ticket = this.tickets.shift();
    assert.ok(ticket);
    return ticket;
  }

  #withdraw(ticket: number): boolean {
    const index = this.tickets.indexOf(ticket);
    if (index >= 0) this.tickets.splice(index, 1);
    return index >= 0;
  }
}

type Standing = ReturnType<Relay["operation"]> & { readonly result: Promise<string> };

/** So many operations, asked for one after the other. */
function standing(relay: Relay, subject: SessionPool<number>, count: number): Standing[] {
  return Array.from({ length: count }, () => {
    const operation = relay.operation();
    const result = subject.withSession(operation.use, operation.options);
    result.catch(() => {});
    return { ...operation, result };
  });
}

function at(all: readonly Standing[], index: number): Standing {
  const found = all[index];
  assert.ok(found);
  return found;
}

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("a session passes to whoever has stood by longest, its lease with it, and comes back once", async () => {
  const [relay, subject] = [new Relay(), pool({ size: 1, maxWaiters: 10 })];
  const all = standing(relay, subject, 3);
  assert.deepEqual([at(all, 0).lent, relay.tickets], [[1], [1, 2]]);
  at(all, 0).passOn(relay.take());
  assert.equal(await at(all, 0).result, "before 1");
  assert.deepEqual({ ...subject.state }, { size: 1, open: 1, leased: 1, overdue: 0, waiting: 1 });
  at(all, 1).passOn(relay.take());
  assert.equal(await at(all, 1).result, "before 2");
  assert.deepEqual({ ...subject.state }, { size: 1, open: 1, leased: 1, overdue: 0, waiting: 0 });
  at(all, 2).resolve("last");
  assert.equal(await at(all, 2).result, "last");
  assert.deepEqual({ ...subject.state }, { size: 1, open: 1, leased: 0, overdue: 0, waiting: 0 });
  assert.deepEqual([at(all, 1).lent, at(all, 2).lent, opened, closed], [[], [], 1, []]);
});

test("the pool may hear of an operation and of its heir at once", async () => {
  const [relay, subject] = [new Relay(), pool({ size: 1, maxWaiters: 10 })];
  const all = standing(relay, subject, 3);
  const [tickets, results] = [
    [relay.take(), relay.take()],
    [at(all, 0).result, at(all, 1).result, at(all, 2).result],
  ];
  at(all, 0).passOn(tickets[0] ?? 0);
  at(all, 1).passOn(tickets[1] ?? 0);
  at(all, 2).resolve("last");
  assert.deepEqual(await Promise.all(results), ["before 1", "before 2", "last"]);
  assert.deepEqual({ ...subject.state }, { size: 1, open: 1, leased: 0, overdue: 0, waiting: 0 });
});

test("an heir's error decides on the session that it inherited", async () => {
  const [relay, subject] = [new Relay(), pool({ size: 1, maxWaiters: 10 })];
  const all = standing(relay, subject, 2);
  at(all, 0).passOn(relay.take());
  at(all, 1).reject(new Error("broken"));
  await assert.rejects(at(all, 1).result, /broken/);
  assert.deepEqual([closed, subject.state.open], [[1], 0]);
});

test("an heir's time begins when the pool hears of it, and an heir that is overdue counts as such", async () => {
  const overdue: number[] = [];
  const onOverdue = ({ leased }: { leased: number }): void => void overdue.push(leased);
  const [relay, subject] = [new Relay(), pool({ size: 1, operationTimeoutMs: 20, onOverdue })];
  const all = standing(relay, subject, 2);
  at(all, 0).passOn(relay.take());
  await at(all, 0).result;
  await assert.rejects(at(all, 1).result, isCode("ERR_SIGN_TIMEOUT"));
  assert.deepEqual({ ...subject.state }, { size: 1, open: 1, leased: 1, overdue: 1, waiting: 0 });
  assert.deepEqual(overdue, [1]);
  at(all, 1).resolve("too late");
  await settle();
  assert.deepEqual({ ...subject.state }, { size: 1, open: 0, leased: 0, overdue: 0, waiting: 0 });
  assert.deepEqual(closed, [1]);
});

test("an operation that was overdue and succeeded has passed its session on all the same", async () => {
  const subject = pool({ operationTimeoutMs: 1 });
  const relay = new Relay();
  const hung = standing(relay, subject, 1);
  await assert.rejects(at(hung, 0).result, isCode("ERR_SIGN_TIMEOUT"));
  const slow = operation();
  const running = subject.withSession(slow.use, { withoutDeadline: true });
  const { use, options } = relay.operation();
  const heir = subject.withSession(use, { ...options, withoutDeadline: true });
  at(hung, 0).passOn(relay.take());
  await settle();
  assert.deepEqual({ ...subject.state }, { size: 2, open: 2, leased: 2, overdue: 0, waiting: 0 });
  assert.deepEqual(closed, []);
  slow.resolve("");
  await running;
  void heir;
});

test("a session that comes free goes to whoever has stood by longest, who stands by no more", async () => {
  const [relay, subject] = [new Relay(), pool({ size: 1, maxWaiters: 10 })];
  const all = standing(relay, subject, 3);
  at(all, 0).resolve("no heir");
  await settle();
  assert.deepEqual([at(all, 1).lent, relay.tickets], [[1], [2]]);
  at(all, 1).reject(new Error("broken"));
  await settle();
  assert.deepEqual([at(all, 2).lent, closed, relay.tickets], [[2], [1], []]);
  at(all, 2).resolve("in a new session");
  assert.equal(await at(all, 2).result, "in a new session");
  assert.deepEqual({ ...subject.state }, { size: 1, open: 1, leased: 0, overdue: 0, waiting: 0 });
});

test("a session that comes free passes by whoever has one already, of which the pool has not heard", async () => {
  const [relay, subject] = [new Relay(), pool({ maxWaiters: 10 })];
  const all = standing(relay, subject, 4);
  const ticket = relay.take();
  at(all, 1).resolve("no heir");
  await settle();
  assert.deepEqual([at(all, 2).lent, at(all, 3).lent, subject.state.waiting], [[], [2], 0]);
  at(all, 0).passOn(ticket);
  at(all, 2).resolve("heir");
  assert.equal(await at(all, 2).result, "heir");
  assert.deepEqual({ ...subject.state }, { size: 2, open: 2, leased: 1, overdue: 0, waiting: 0 });
  at(all, 3).resolve("");
});

test("a session that comes free, where everybody has one already, is kept", async () => {
  const [relay, subject] = [new Relay(), pool()];
  const all = standing(relay, subject, 3);
  const ticket = relay.take();
  at(all, 1).resolve("no heir");
  await settle();
  assert.deepEqual({ ...subject.state }, { size: 2, open: 2, leased: 1, overdue: 0, waiting: 0 });
  at(all, 0).passOn(ticket);
  at(all, 2).resolve("heir");
  assert.equal(await at(all, 2).result, "heir");
  assert.deepEqual([subject.state.leased, closed], [0, []]);
});

test("whoever stands by too long is refused, unless he has a session already", async () => {
  const [relay, subject] = [new Relay(), pool({ size: 1, waitTimeoutMs: 1 })];
  const all = standing(relay, subject, 3);
  const ticket = relay.take();
  await assert.rejects(at(all, 2).result, isCode("ERR_TOKEN_BUSY"));
  assert.deepEqual([relay.tickets, subject.state.waiting], [[], 0]);
  at(all, 0).passOn(ticket);
  at(all, 1).resolve("in time after all");
  assert.equal(await at(all, 1).result, "in time after all");
});

test("when every session hangs, those who stand by are refused, unless one has come back", async () => {
  const [relay, subject] = [new Relay(), pool({ size: 1, operationTimeoutMs: 1 })];
  const all = standing(relay, subject, 3);
  const ticket = relay.take();
  await assert.rejects(at(all, 2).result, isCode("ERR_TOKEN_HANGS"));
  at(all, 0).passOn(ticket);
  at(all, 1).resolve("signed");
  assert.equal(await at(all, 1).result, "signed");
  assert.deepEqual({ ...subject.state }, { size: 1, open: 1, leased: 0, overdue: 0, waiting: 0 });
});

test("close refuses those who stand by, and waits for one who has a session already", async () => {
  const [relay, subject] = [new Relay(), pool({ size: 1 })];
  const all = standing(relay, subject, 3);
  const ticket = relay.take();
  const closing = subject.close(60_000);
  await assert.rejects(at(all, 2).result, isCode("ERR_STOPPING"));
  assert.deepEqual(relay.tickets, []);
  at(all, 0).passOn(ticket);
  await settle();
  assert.deepEqual([subject.state.leased, closed], [1, []]);
  at(all, 1).resolve("in flight");
  assert.equal(await at(all, 1).result, "in flight");
  assert.equal(await closing, 0);
  assert.deepEqual(closed, [1]);
});

for (const [name, options] of [
  ["cannot stand by", {}],
  ["wants a new session", { fresh: true, standBy: () => assert.fail("he stands by") }],
] as const) {
  test(`nobody stands by behind one who ${name}, until that one has been served`, async () => {
    const [relay, subject] = [new Relay(), pool({ size: 1, maxWaiters: 10 })];
    const before = standing(relay, subject, 2);
    const ordinary = operation();
    const result = subject.withSession(ordinary.use, options);
    const behind = standing(relay, subject, 2);
    assert.deepEqual([relay.tickets, subject.state.waiting], [[1], 4]);
    at(before, 0).passOn(relay.take());
    at(before, 1).resolve("nobody to pass it to");
    assert.equal(await ordinary.session, 1);
    assert.deepEqual(relay.tickets, [2, 3]);
    ordinary.resolve("served");
    assert.equal(await result, "served");
    assert.deepEqual([at(behind, 0).lent, relay.tickets], [[1], [3]]);
    at(behind, 0).passOn(relay.take());
    at(behind, 1).resolve("last");
    assert.equal(await at(behind, 1).result, "last");
  });
}

test("those behind one who has waited in vain stand by then", async () => {
  const [relay, subject] = [new Relay(), pool({ size: 1, waitTimeoutMs: 1 })];
  const [first] = standing(relay, subject, 1);
  const refused = assert.rejects(
    subject.withSession(async () => "never"),
    isCode("ERR_TOKEN_BUSY"),
  );
  const [last] = standing(relay, subject, 1);
  assert.equal(relay.given, 0);
  await refused;
  assert.equal(relay.given, 1);
  first?.resolve("");
  last?.resolve("");
});

test("whoever cannot be made to stand by is told so, and the others wait on", async () => {
  const [relay, subject] = [new Relay(), pool({ size: 1 })];
  const first = standing(relay, subject, 1);
  const standBy = (): StandBy<string> => {
    throw new Error("no memory");
  };
  await assert.rejects(
    subject.withSession(async () => "never", { standBy }),
    /no memory/,
  );
  const second = standing(relay, subject, 1);
  at(first, 0).passOn(relay.take());
  at(second, 0).resolve("heir");
  assert.equal(await at(second, 0).result, "heir");
});

test("a session that is said to have passed to nobody is lent to nobody", async () => {
  const [relay, subject] = [new Relay(), pool({ size: 1 })];
  const first = standing(relay, subject, 1);
  assert.throws(() => at(first, 0).passOn(7), RangeError);
  assert.deepEqual({ ...subject.state }, { size: 1, open: 1, leased: 1, overdue: 0, waiting: 0 });
  at(first, 0).resolve("");
});
