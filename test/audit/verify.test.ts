import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { type CheckpointSigner, signCheckpoint } from "../../lib/audit/checkpoint.ts";
import { type Entry, NO_HASH, type Position, recordAfter } from "../../lib/audit/record.ts";
import { type TrailReport, verifyTrail } from "../../lib/audit/verify.ts";
import { SeededRandom } from "../support/seeded_random.ts";
import { linesOf, signatureFacts, softwareCheckpointSigner, sourceOf, trailStage } from "../support/trail.ts";

const SEED = 4711;
const TRAIL = "5685323a-7da4-4562-8563-b015c4ade1d4";
const signer = await softwareCheckpointSigner();
const intruder = await softwareCheckpointSigner();

/** Puts a trail together, record by record. */
class Pen {
  readonly lines: Buffer[] = [];
  position: Position;

  constructor(position: Position = { trail: TRAIL, n: 0, hash: NO_HASH }) {
    this.position = position;
  }

  write(entry: Entry): this {
    const { line, position } = recordAfter(this.position, new Date("2033-05-18T03:33:20Z"), entry);
    this.lines.push(line);
    this.position = position;
    return this;
  }

  begin(former?: string): this {
    return this.write({
      type: "begin",
      trail: this.position.trail,
      ...(former === undefined ? {} : { former }),
    });
  }

  signatures(count: number): this {
    for (let number = 0; number < count; number += 1) {
      this.write({ type: "signature", ...signatureFacts(number), signedData: NO_HASH });
    }
    return this;
  }

  async checkpoint(own: CheckpointSigner = signer, position: Position = this.position): Promise<this> {
    return this.write(await signCheckpoint(own, position, "interval", new Date("2033-05-18T03:33:20Z")));
  }

  get bytes(): Buffer {
    return Buffer.concat(this.lines);
  }
}

/** Some hundred records with a checkpoint after each fifty, and one at the end. */
const pen = new Pen().begin();
for (let part = 0; part < 4; part += 1) await pen.signatures(50).checkpoint();
const LINES = pen.lines;
const BYTES = pen.bytes;

const verified = (bytes: Uint8Array): Promise<TrailReport> => verifyTrail([sourceOf(bytes)]);

/** That it is found, and that the line that is named is where it is, or the one behind it. */
async function assertFound(bytes: Uint8Array, line: number, what: string): Promise<void> {
  const { fault } = await verified(bytes);
  assert.ok(fault !== undefined, `${what} in line ${line} is not found`);
  assert.ok(
    fault.line === line || fault.line === line + 1,
    `${what} in line ${line}: ${fault.line}, ${fault.reason}`,
  );
}

test("a trail as it was written is good, and proven up to its last checkpoint", async () => {
  const { fault, proven, last, signatures, files, trail } = await verified(BYTES);
  assert.equal(fault, undefined);
  assert.deepEqual(
    [proven?.record, proven?.checkpoint, last?.n],
    [LINES.length - 1, LINES.length, LINES.length],
  );
  assert.deepEqual([signatures, trail], [200, TRAIL]);
  assert.deepEqual(files, [{ name: "audit.jsonl", first: 1, last: LINES.length }]);
});

/** Lines of which each byte is tried: the first and the last ones, and those around a checkpoint. */
const CLOSELY: ReadonlySet<number> = new Set([1, 2, 51, 52, 53, LINES.length - 1, LINES.length]);
/** In the others, every so many bytes, beginning elsewhere in each: all of them together leave out no place. */
const STRIDE = 13;

test("every change of a single byte is found, wherever it is", async () => {
  const random = new SeededRandom(SEED);
  const bytes = Buffer.from(BYTES);
  for (const [index, { offset, bytes: own }] of linesOf(BYTES).entries()) {
    const [first, step] = CLOSELY.has(index + 1) ? [0, 1] : [index % STRIDE, STRIDE];
    for (let at = offset + first; at < offset + own.length; at += step) {
      const former = bytes[at] ?? 0;
      // Any other byte, and where it is looked at closely one that is likely to do in its place, as a digit for a digit.
      for (const other of [(former + 1 + random.below(255)) % 256, ...(step === 1 ? [former ^ 1] : [])]) {
        bytes[at] = other;
        await assertFound(bytes, index + 1, `a byte that was ${former} and is ${other}`);
      }
      bytes[at] = former;
    }
  }
});

test("every line that is missing, doubled, or in another's place is found", async () => {
  const random = new SeededRandom(SEED);
  for (let index = 0; index < LINES.length; index += 1) {
    const [before, own, after] = [
      LINES.slice(0, index),
      LINES.slice(index, index + 1),
      LINES.slice(index + 1),
    ];
    const found = (lines: readonly Buffer[], what: string): Promise<void> =>
      assertFound(Buffer.concat(lines), index + 1, what);
    if (after.length > 0) await found([...before, ...after], "a line that is missing");
    await found([...before, ...own, ...own, ...after], "a line that is doubled");
    const other = random.below(LINES.length);
    const [first, second] = [Math.min(index, other), Math.max(index, other)];
    if (first === second) continue;
    const swapped = LINES.with(first, LINES[second] ?? Buffer.alloc(0)).with(
      second,
      LINES[first] ?? Buffer.alloc(0),
    );
    await assertFound(Buffer.concat(swapped), first + 1, "two lines that were swapped");
  }
});

test("bytes that are missing, put in or moved are found", async () => {
  const random = new SeededRandom(SEED);
  const lines = linesOf(BYTES);
  for (let round = 0; round < 600; round += 1) {
    const changed = random.mutated(BYTES, ["\n", "0", "}", '"', "a"]);
    const at = firstDifference(changed);
    if (changed.equals(BYTES)) continue;
    const line = lines.findLastIndex(({ offset }) => offset <= at) + 1;
    const isCutBetweenLines = lines.some(({ offset }) => offset === changed.length) && at === changed.length;
    // The next test's.
    if (!isCutBetweenLines && changed.length > 0) await assertFound(changed, line, `round ${round}`);
  }
});

function firstDifference(changed: Buffer): number {
  const length = Math.min(changed.length, BYTES.length);
  for (let at = 0; at < length; at += 1) if (changed[at] !== BYTES[at]) return at;
  return length;
}

test("an end that was cut off is found in the midst of a line; between two, less is proven, and --expect finds it", async () => {
  const { last } = await verified(BYTES);
  for (const { offset, bytes } of linesOf(BYTES).slice(1)) {
    const whole = BYTES.subarray(0, offset);
    const { fault, proven, last: kept } = await verified(whole);
    assert.equal(fault, undefined);
    assert.ok((kept?.n ?? 0) < LINES.length && (proven?.checkpoint ?? 0) < LINES.length);
    const { fault: unexpected } = await verifyTrail([sourceOf(whole)], { expected: last?.hash ?? "" });
    assert.match(unexpected?.reason ?? "", /cut off/);
    const torn = BYTES.subarray(0, offset + 1 + (offset % (bytes.length - 1)));
    assert.match((await verified(torn)).fault?.reason ?? "", /not whole/);
  }
  assert.equal((await verifyTrail([sourceOf(BYTES)], { expected: last?.hash ?? "" })).fault, undefined);
});

test("whoever writes the end anew is found at the first checkpoint that he cannot have signed", async () => {
  const forged = await new Pen().begin().signatures(20).checkpoint(intruder);
  const known = signer.certificates.map((der) => Buffer.from(der));
  const distrust = async ([leaf]: readonly Uint8Array[]): Promise<string | undefined> =>
    known.some((der) => leaf !== undefined && der.equals(leaf)) ? undefined : "it is a stranger's";
  assert.equal(
    (await verified(forged.bytes)).fault,
    undefined,
    "where nobody says whose certificate it must be",
  );
  const { fault } = await verifyTrail([sourceOf(forged.bytes)], { distrust });
  assert.deepEqual([fault?.line, /stranger/.test(fault?.reason ?? "")], [22, true]);
  assert.equal((await verifyTrail([sourceOf(BYTES)], { distrust })).fault, undefined);
});

test("a checkpoint that was signed for something else does not prove this", async () => {
  const own = new Pen().begin().signatures(3);
  const other = { ...own.position, trail: TRAIL.replace("5", "6") };
  for (const [position, reason] of [
    [{ ...own.position, hash: NO_HASH }, /another hash for record 4/],
    [{ ...own.position, n: 3 }, /another hash for record 3/],
    [{ ...own.position, n: 5 }, /about record 5/],
    [{ ...own.position, n: 99 }, /about record 99/],
    [other, /another trail/],
  ] as const) {
    const forged = await new Pen().begin().signatures(3).checkpoint(signer, position);
    const { fault, proven } = await verified(forged.bytes);
    assert.deepEqual([fault?.line, proven], [5, undefined]);
    assert.match(fault?.reason ?? "", reason);
  }
});

test("a checkpoint may come some records after those that it speaks of, and proves no more than them", async () => {
  const own = new Pen().begin().signatures(3);
  const { position } = own;
  await own.signatures(5).checkpoint(signer, position);
  const { fault, proven } = await verified(own.bytes);
  assert.deepEqual([fault, proven?.record, proven?.checkpoint], [undefined, 4, 10]);
});

test("files are taken in any order; one that is missing between two, doubled, or another trail's is named", async () => {
  const first = await new Pen().begin().signatures(3).checkpoint();
  const second = await new Pen(first.position).begin("first").signatures(3).checkpoint();
  const third = await new Pen(second.position).begin("second").signatures(3).checkpoint();
  const [a, b, c] = [first, second, third].map((each, index) => sourceOf(each.bytes, "abc"[index]));
  assert.ok(a && b && c);
  for (const sources of [
    [a, b, c],
    [c, a, b],
    [b, c, a],
  ]) {
    const { fault, files, proven } = await verifyTrail(sources);
    assert.equal(fault, undefined);
    assert.deepEqual([files.map(({ name }) => name).join(""), proven?.checkpoint], ["abc", 15]);
  }
  const later = await verifyTrail([c, b]);
  assert.deepEqual([later.fault, later.files[0]?.first, later.proven?.checkpoint], [undefined, 6, 15]);
  for (const [sources, file, reason] of [
    [[c, a], "c", /record 11, and the last line of the file before it is record 5: what was between/],
    [[b, b, a], "b", /out of order/],
    [[sourceOf(Buffer.alloc(0), "x"), a], "x", /empty/],
    [[sourceOf(Buffer.from("x\n"), "x"), a], "x", /not JSON/],
  ] as const) {
    const { fault } = await verifyTrail(sources);
    assert.equal(fault?.file, file);
    assert.match(fault?.reason ?? "", reason);
  }
  const stranger = new Pen({ ...first.position, trail: TRAIL.replace("5", "6") }).begin("first");
  const strange = await verifyTrail([a, sourceOf(stranger.bytes, "x")]);
  assert.match(strange.fault?.reason ?? "", /another trail/);
});

test("a first record that contradicts itself is refused", async () => {
  for (const broken of [
    new Pen({ trail: TRAIL, n: 4, hash: NO_HASH }).begin("former"),
    new Pen({ trail: TRAIL, n: 4, hash: "ab".repeat(32) }).begin(),
    new Pen({ trail: TRAIL, n: 0, hash: "ab".repeat(32) }).begin(),
    new Pen().begin("former"),
    new Pen().signatures(1),
  ]) {
    assert.equal((await verified(broken.bytes)).fault?.line, 1);
  }
  const twice = new Pen().begin().begin();
  assert.equal((await verified(twice.bytes)).fault?.line, 2);
});

test("what a running service has written verifies as what was put together here does", async () => {
  const stage = trailStage(signer);
  const trail = await stage.open();
  await trail.record(signatureFacts(1), Buffer.from("x"));
  await trail.close(10_000);
  assert.equal((await verified(readFileSync(stage.file))).fault, undefined);
});
