import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { SignerError } from "../../lib/errors.ts";
import { JsonDocumentSink, type SignRequestMembers } from "../../lib/http/json_document.ts";
import { collectGarbage } from "../support/garbage.ts";
import { type JsonRequest, randomJsonRequest } from "../support/json_request.ts";
import { SeededRandom } from "../support/seeded_random.ts";

const VALID_CASES = 1_500;
const MUTATED_CASES = 20_000;
const MIB = 1024 ** 2;

const INSERTIONS = [
  '"',
  "\\",
  "\\u",
  "\\u003",
  "\\u0022",
  '\\"',
  "{",
  "}",
  "[",
  "]",
  ",",
  ":",
  " ",
  "\n",
  "\u0000",
  "\ufeff",
  "=",
  "==",
  "-",
  "QUJD",
  "null",
  "1",
  '"encodedContents":',
  '"hash":"00",',
  '{"encodedContents":"QUJD"}',
] as const;

interface Reading extends SignRequestMembers {
  readonly document: Buffer;
}

function read(pieces: readonly Buffer[]): Reading {
  const document: Buffer[] = [];
  const sink = new JsonDocumentSink((bytes) => {
    document.push(Buffer.from(bytes));
  });
  for (const piece of pieces) sink.write(piece);
  const members = sink.end();
  return { ...members, document: Buffer.concat(document) };
}

/** The straightforward way: the whole text at once, and base64 that is what its own encoder makes. */
function readPlainly(text: Buffer): Reading | undefined {
  try {
    const value: unknown = JSON.parse(
      new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(text),
    );
    if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
    const { encodedContents = null, hash = null } = value as Record<string, unknown>;
    if (encodedContents === null) return { hasDocument: false, hash, document: Buffer.alloc(0) };
    if (typeof encodedContents !== "string") return undefined;
    const document = Buffer.from(encodedContents, "base64");
    return document.toString("base64") === encodedContents
      ? { hasDocument: true, hash, document }
      : undefined;
  } catch {
    return undefined;
  }
}

function assertReads(pieces: readonly Buffer[], { document, hash, text }: JsonRequest): void {
  const reading = read(pieces);
  const label = text.toString();
  assert.equal(reading.hasDocument, document !== undefined, label);
  assert.equal(reading.hash, hash ?? null, label);
  assert.deepEqual(reading.document, document ?? Buffer.alloc(0), label);
}

describe("The JSON of a sign request, read as it arrives,", () => {
  it("gives the document and the hash, wherever it is cut in two.", () => {
    const random = new SeededRandom(1);
    for (let count = 0; count < 15; count += 1) {
      const request = randomJsonRequest(random);
      const { text } = request;
      for (let at = 0; at <= text.length; at += 1) {
        assertReads([text.subarray(0, at), text.subarray(at)], request);
      }
    }
  });

  it("gives the same byte by byte, and in pieces of any size.", () => {
    const random = new SeededRandom(2);
    for (let count = 0; count < VALID_CASES; count += 1) {
      const request = randomJsonRequest(random);
      assertReads([request.text], request);
      assertReads(random.pieces(request.text), request);
      assertReads(
        Array.from(request.text, (byte) => Buffer.from([byte])),
        request,
      );
    }
  });

  it("is accepted only where JSON.parse and strict base64 accept it, with the same bytes.", () => {
    const random = new SeededRandom(3);
    const counts = { accepted: 0, refused: 0 };
    for (let count = 0; count < MUTATED_CASES; count += 1) {
      const text = random.mutated(randomJsonRequest(random).text, INSERTIONS);
      const plain = readPlainly(text);
      const label = JSON.stringify(text.toString("latin1"));
      let reading: Reading | undefined;
      try {
        reading = read(random.pieces(text));
      } catch (error) {
        assert.ok(error instanceof SignerError, `${label} made it throw ${String(error)}`);
        // What JSON.parse overlooks; at the top level two members of a name may be two documents.
        if (!/stands in it twice/.test(error.message))
          assert.equal(plain, undefined, `${label}: ${error.message}`);
      }
      if (reading !== undefined) assert.deepEqual(reading, plain, label);
      counts[reading === undefined ? "refused" : "accepted"] += 1;
    }
    // A fuzzer that is always refused, or never, proves little.
    assert.ok(counts.accepted > MUTATED_CASES / 50, JSON.stringify(counts));
    assert.ok(counts.refused > MUTATED_CASES / 2, JSON.stringify(counts));
  });

  it("may hold a document that is all escapes without taking long.", () => {
    // Each escape looked through the rest of the piece once: minutes instead of less than a second.
    const text = Buffer.from(`{"encodedContents":"${"\\/".repeat(2 * MIB)}"}`);
    const start = performance.now();
    assert.equal(read([text]).document.length, 1.5 * MIB);
    assert.ok(performance.now() - start < 30_000);
  });

  it("leaves nothing of a document of 64 MiB in memory.", async () => {
    let total = 0;
    const sink = new JsonDocumentSink((bytes) => {
      total += bytes.length;
    });
    const begin = '{"encodedContents":"';
    const pieces: WeakRef<ArrayBufferLike>[] = [];
    collectGarbage();
    const before = process.memoryUsage();
    for (let count = 0; count < 1_024; count += 1) {
      // Each piece has memory of its own, as from a socket, and does not end with a group of four.
      const piece = Buffer.allocUnsafeSlow(64 * 1024 + (count % 4)).fill("A");
      if (count === 0) piece.write(begin);
      pieces.push(new WeakRef(piece.buffer));
      sink.write(piece);
    }
    // Whatever a WeakRef was made of lives until the end of the job.
    await nextTurn();
    collectGarbage();
    const after = process.memoryUsage();
    assert.equal(pieces[0]?.deref(), undefined, "the piece is kept that holds more than the document");
    assert.ok(pieces.filter((piece) => piece.deref() !== undefined).length <= 2, "pieces are kept");
    assert.ok(after.arrayBuffers - before.arrayBuffers < 4 * MIB, "bytes are kept");
    assert.ok(after.heapUsed - before.heapUsed < 16 * MIB, "characters are kept");
    const characters = 1_024 * (64 * 1024 + 1.5) - begin.length;
    sink.write(Buffer.from(`${"A".repeat(-characters & 3)}"}`));
    assert.equal(sink.end().hasDocument, true);
    assert.equal(total, (Math.ceil(characters / 4) * 4 * 3) / 4);
  });

  it("takes no more memory when what is beside the document comes byte by byte.", () => {
    for (const begin of ['{"', '{"x":"', '{"x":[']) {
      const sinks: JsonDocumentSink[] = [];
      collectGarbage();
      const before = process.memoryUsage();
      for (let count = 0; count < 10; count += 1) {
        const sink = new JsonDocumentSink(() => {});
        sink.write(Buffer.from(begin));
        for (let length = 0; length < 65_000; length += 1) sink.write(Buffer.from("1"));
        sinks.push(sink);
      }
      collectGarbage();
      const { heapUsed, arrayBuffers } = process.memoryUsage();
      const growth = (heapUsed - before.heapUsed + arrayBuffers - before.arrayBuffers) / sinks.length;
      assert.ok(growth < MIB, `${Math.round(growth / 1024)} KiB for 64 KiB of ${begin}`);
    }
  });

  it("is refused as soon as it holds too much beside the document, or is nested too deep.", () => {
    for (const [begin, piece] of [
      ['{"x":"', "x"],
      ['{"', "x"],
      ["", " "],
      ["", "["],
      ['{"x":', '{"x":'],
    ] as const) {
      const sink = new JsonDocumentSink(() => {});
      let written = 0;
      assert.throws(
        () => {
          sink.write(Buffer.from(begin));
          for (; written < 200_000; written += 1) sink.write(Buffer.from(piece));
        },
        { code: "ERR_JSON_MALFORMED" },
      );
      assert.ok(written <= 65_536, `${begin}${piece}…`);
    }
  });

  it("is refused in the piece that is no base64, without waiting for the end.", () => {
    const sink = new JsonDocumentSink(() => {});
    sink.write(Buffer.from('{"encodedContents":"QUJD'));
    assert.throws(() => sink.write(Buffer.from("****")), { code: "ERR_BASE64_MALFORMED" });
  });
});
