import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { deferred } from "../lib/deferred.ts";
import { type Addon, loadAddon } from "../lib/native/addon.ts";
import { lacks } from "../lib/runtime.ts";
import { collectGarbage } from "./support/garbage.ts";
import { startModule } from "./support/module_process.ts";
import { runModule } from "./support/run_module.ts";

const MIB = 1024 ** 2;
const MUCH = randomBytes(16 * MIB);
/** More than what is hashed where it comes, and less than what a thread is woken for: `lib/native/digest.c`. */
const NOT_GIVEN = 200 * 1024;
const MUCH_HASHED = createHash("sha256").update(MUCH).digest();

const addon = loadAddon();

/** Where the runtime has no OpenSSL for addons there is no digest, and that is all. */
function testDigest(name: string, body: (begin: (hash?: string) => object) => void | Promise<void>): void {
  const has = !lacks("OpenSSL for addons");
  test(has ? name : `without an OpenSSL none of this: ${name}`, async () => {
    const begin = (hash = "sha256"): object => addon.digest(hash) ?? assert.fail("no digest");
    if (has) await body(begin);
    else assert.deepEqual([addon.hasOpenssl, addon.digest("sha256")], [false, undefined]);
  });
}

function settled(digest: object, atMost = 0): Promise<void> {
  const { promise, resolve } = deferred<void>();
  addon.settle(digest, atMost, resolve);
  return promise;
}

testDigest("there is none of a hash that OpenSSL does not know", () => {
  assert.equal(addon.digest("sha-nothing"), undefined);
});

testDigest("there is no digest while bytes are queued, and one afterwards, once", async (begin) => {
  const digest = begin();
  assert.equal(addon.update(digest, MUCH.subarray(0, NOT_GIVEN)), 0);
  assert.equal(addon.final(digest), undefined);
  assert.equal(addon.update(digest, MUCH.subarray(NOT_GIVEN)), MUCH.length);
  await settled(digest);
  assert.deepEqual(addon.final(digest), MUCH_HASHED);
  assert.throws(() => addon.final(digest), /cannot hash/);
  assert.throws(() => addon.update(digest, MUCH), /cannot hash/);
});

testDigest(
  "whoever waits is called later, also where nothing is queued, and one at a time",
  async (begin) => {
    const digest = begin();
    let calls = 0;
    const count = (): void => {
      calls += 1;
    };
    addon.settle(digest, 0, count);
    assert.equal(calls, 0);
    while (calls === 0) await nextTurn();
    addon.update(digest, MUCH);
    const { promise, resolve } = deferred<void>();
    addon.settle(digest, MUCH.length / 2, resolve);
    assert.throws(() => addon.settle(digest, 0, count), /somebody waits/);
    await promise;
    await settled(digest);
    assert.deepEqual([calls, addon.final(digest)], [1, MUCH_HASHED]);
  },
);

testDigest("what was given up takes nothing more, and whoever waits for it is called", async (begin) => {
  for (const atMost of [0, MIB]) {
    const digest = begin();
    addon.update(digest, MUCH);
    const waiting = settled(digest, atMost);
    addon.abandon(digest);
    addon.abandon(digest);
    await waiting;
    assert.throws(() => addon.update(digest, MUCH), /cannot hash/);
    await settled(digest);
    assert.throws(() => addon.final(digest), /cannot hash/);
  }
});

testDigest("what nobody refers to any more may be hashed to its end", async (begin) => {
  for (let count = 0; count < 40; count += 1) {
    addon.update(begin(), MUCH.subarray(0, MIB * (1 + (count % 3))));
    if (count % 8 === 0) collectGarbage();
    await nextTurn();
  }
  collectGarbage();
  const digest = begin();
  addon.update(digest, MUCH);
  await settled(digest);
  assert.deepEqual(addon.final(digest), MUCH_HASHED);
});

testDigest("all documents together have so much queued that each has to wait", async (begin) => {
  const piece = MUCH.subarray(0, NOT_GIVEN);
  const digests = Array.from({ length: 200 }, () => begin());
  const queued = digests.map((digest) => addon.update(digest, piece));
  assert.deepEqual([queued.at(0), queued.at(-1)], [0, piece.length]);
  await Promise.all(digests.map((digest) => settled(digest)));
  const expected = createHash("sha256").update(piece).digest();
  for (const digest of digests) assert.deepEqual(addon.final(digest), expected);
});

testDigest("arguments of other kinds are refused", (begin) => {
  const wrong: Readonly<Record<keyof Addon, unknown>> = { ...addon };
  const digest = begin();
  for (const [name, args] of [
    ["digest", []],
    ["digest", [1]],
    ["update", [digest]],
    ["update", [{}, MUCH]],
    ["update", [digest, "text"]],
    ["settle", [digest, -1, () => {}]],
    ["settle", [digest, Number.NaN, () => {}]],
    ["settle", [digest, 0, undefined]],
    ["settle", [undefined, 0, () => {}]],
    ["final", [{}]],
    ["abandon", [undefined]],
    ["release", ["text"]],
  ] as const) {
    const called = wrong[name];
    assert.ok(typeof called === "function");
    assert.throws(() => called(...args), Error, `${name} with ${args.length} arguments`);
  }
});

/** A module that has the addon, and a digest of so much that it is hashed for a while. */
const hashing = (text: string): string => `
  import { readdirSync, readFileSync } from "node:fs";
  import { loadAddon } from "./lib/native/addon.ts";
  const addon = loadAddon();
  const threads = () => readdirSync("/proc/self/task").map((id) => readFileSync("/proc/self/task/" + id + "/comm", "utf8").trim());
  const isThere = () => threads().includes("hsm-digest");
  const digest = addon.digest("sha256");
  ${text}`;

testDigest("no thread is made for a small document, one or more for a large one", () => {
  const found = runModule(
    hashing(`
      addon.update(digest, Buffer.alloc(128 * 1024));
      const before = isThere();
      addon.update(digest, Buffer.alloc(1024 * 1024));
      addon.settle(digest, 0, () => console.log(before, isThere()));`),
  );
  assert.equal(found.trim(), "false true");
});

testDigest("a process lives until it was told", async () => {
  const child = startModule(
    hashing(`
      addon.update(digest, Buffer.alloc(64 * 1024 * 1024));
      addon.settle(digest, 0, () => console.log(addon.final(digest).toString("hex")));`),
  );
  const expected = createHash("sha256")
    .update(Buffer.alloc(64 * MIB))
    .digest("hex");
  assert.equal((await child.output()).trim(), expected);
  assert.equal(await child.ended, 0);
});

testDigest("a process ends as it wants to, whatever is being hashed", async () => {
  for (const end of ["process.exit(3);", "process.exitCode = 3;"]) {
    const child = startModule(hashing(`addon.update(digest, Buffer.alloc(64 * 1024 * 1024)); ${end}`));
    assert.equal(await child.ended, 3);
  }
});

testDigest("the addon may be loaded twice, and both of it hash", async (begin) => {
  const again = loadAddon();
  const [first, second] = [begin(), again.digest("sha256")];
  assert.ok(second);
  addon.update(first, MUCH);
  again.update(second, MUCH);
  const { promise, resolve } = deferred<void>();
  again.settle(second, 0, resolve);
  await Promise.all([promise, settled(first)]);
  assert.deepEqual([addon.final(first), again.final(second)], [MUCH_HASHED, MUCH_HASHED]);
});

testDigest("the threads stand back", async (begin) => {
  const digest = begin();
  addon.update(digest, MUCH);
  await settled(digest);
  const stats = readdirSync("/proc/self/task").map((id) =>
    readFileSync(`/proc/self/task/${id}/stat`, "utf8"),
  );
  const niceness = stats
    .filter((stat) => stat.includes("(hsm-digest)"))
    .map((stat) => Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[16]));
  assert.ok(niceness.length > 0 && niceness.every((value) => value > 0), String(niceness));
});
