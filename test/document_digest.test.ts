import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { test } from "node:test";
import { type HashAlgorithm, type HashName, signatureAlgorithm } from "../lib/algorithms.ts";
import { documentDigests } from "../lib/document_digest.ts";
import { type Addon, loadAddon } from "../lib/native/addon.ts";
import { lacks } from "../lib/runtime.ts";
import { SeededRandom } from "./support/seeded_random.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
/** What is hashed where it comes, on a runtime with threads for the rest: AT_ONCE of `lib/native/digest.c`. */
const AT_ONCE = 128 * KIB;

const addon = loadAddon();
const without: Addon = { ...addon, digest: () => undefined };
const WAYS = {
  "as the runtime can": documentDigests(addon),
  "by node:crypto": documentDigests(without),
} as const;

const hashOf = (name: HashName): HashAlgorithm => signatureAlgorithm("P-256", name).hash;
const HASHES = (["SHA-256", "SHA-384", "SHA-512"] as const).map(hashOf);
const SHA_256 = hashOf("SHA-256");

const digestOf = (bytes: Uint8Array, { nodeName } = SHA_256): Buffer =>
  createHash(nodeName).update(bytes).digest();

/** Each from the first byte that was not taken: of so many bytes, again and again. */
function* cut(bytes: Buffer, lengths: readonly number[]): Generator<Buffer> {
  for (let start = 0, turn = 0; start < bytes.length; turn += 1) {
    const end = start + (lengths[turn % lengths.length] ?? bytes.length);
    yield bytes.subarray(start, end);
    start = end;
  }
}

for (const [way, begin] of Object.entries(WAYS)) {
  const hashed = async (pieces: Iterable<Buffer>, hash = SHA_256): Promise<Buffer> => {
    const document = begin(hash);
    for (const piece of pieces) await document.write(piece);
    return document.digest();
  };

  for (const hash of HASHES) {
    test(`hashed ${way}: the ${hash.name} of documents of every size, in pieces of every size`, async () => {
      const sizes = [0, 1, 63, 64, 65, AT_ONCE - 1, AT_ONCE, AT_ONCE + 1, AT_ONCE + 64 * KIB];
      const around = [255, 256, 257, 320, 1024].map((kib) => AT_ONCE + kib * KIB);
      for (const size of [...sizes, ...around, 5 * MIB + 3]) {
        const bytes = randomBytes(size);
        const expected = digestOf(bytes, hash);
        for (const lengths of [[size || 1], [64 * KIB], [AT_ONCE, 1], [65_521, 1, 0, 30_011]]) {
          const found = await hashed(cut(bytes, lengths), hash);
          assert.deepEqual(found, expected, `${size} bytes in pieces of ${lengths}`);
        }
      }
    });
  }

  test(`hashed ${way}: a byte at a time`, async () => {
    const bytes = randomBytes(AT_ONCE + 70_000);
    assert.deepEqual(await hashed(cut(bytes, [1])), digestOf(bytes));
  });

  test(`hashed ${way}: bytes that are overwritten once they were taken`, async () => {
    const [bytes, scratch] = [randomBytes(8 * MIB), Buffer.alloc(60_000)];
    const document = begin(SHA_256);
    for (const piece of cut(bytes, [scratch.length])) {
      const taken = scratch.subarray(0, piece.copy(scratch));
      const room = document.write(taken);
      taken.fill(0);
      await room;
    }
    assert.deepEqual(await document.digest(), digestOf(bytes));
  });

  test(`hashed ${way}: many documents at once, each a different one, some of them given up`, async () => {
    const random = new SeededRandom(7);
    const one = async (): Promise<void> => {
      const bytes = randomBytes(random.below(3 * MIB));
      const document = begin(SHA_256);
      for (const piece of cut(bytes, [1 + random.below(200_000)])) {
        await document.write(piece);
        if (!random.isLucky(0.02)) continue;
        document.abandon();
        return;
      }
      assert.deepEqual(await document.digest(), digestOf(bytes));
    };
    await Promise.all(Array.from({ length: 60 }, one));
  });

  test(`hashed ${way}: more than there is room for comes all the same`, async () => {
    const bytes = randomBytes(24 * MIB);
    const document = begin(SHA_256);
    for (const piece of cut(bytes, [64 * KIB])) void document.write(piece);
    assert.deepEqual(await document.digest(), digestOf(bytes));
  });
}

test("only threads hash large documents, and say when more should not come", async () => {
  const document = WAYS["as the runtime can"](SHA_256);
  assert.equal(document.write(Buffer.alloc(AT_ONCE)), undefined);
  const room = document.write(Buffer.alloc(16 * MIB));
  assert.equal(room instanceof Promise, !lacks("OpenSSL for addons"));
  await room;
  assert.deepEqual(await document.digest(), digestOf(Buffer.alloc(AT_ONCE + 16 * MIB)));
});

test("a small document has its digest at once", () => {
  const bytes = randomBytes(AT_ONCE);
  const document = WAYS["as the runtime can"](SHA_256);
  for (const piece of cut(bytes, [1_000])) assert.equal(document.write(piece), undefined);
  assert.deepEqual(document.digest(), digestOf(bytes));
});

test("a piece that has memory of its own gives it back, and no other does", () => {
  const own = Buffer.allocUnsafeSlow(64 * KIB);
  const shared = Buffer.allocUnsafeSlow(64 * KIB);
  addon.release(own);
  addon.release(own);
  addon.release(shared.subarray(1));
  assert.deepEqual([own.length, shared.length], [0, 64 * KIB]);
});
