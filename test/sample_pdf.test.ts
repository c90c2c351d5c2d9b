import assert from "node:assert/strict";
import { test } from "node:test";
import { embedSignature, type PreparedPdf, preparePdf } from "../dev/sample_pdf.ts";
import { judgePdf } from "./support/judges.ts";
import { softwareSignature } from "./support/software_signature.ts";

const NOW = new Date("2026-02-03T04:05:06.789Z");

function placeholder({ bytes, byteRange }: PreparedPdf): string {
  return bytes.toString("latin1", byteRange[1], byteRange[2]);
}

/** The entries in use of a cross-reference table. */
function entriesOf(table: string): { number: number; offset: number }[] {
  let number = 0;
  return table
    .split("\n")
    .slice(1)
    .flatMap((line) => {
      const [, first] = /^(\d+) \d+$/.exec(line) ?? [];
      if (first !== undefined) number = Number(first);
      const [, offset, kind] = /^(\d{10}) \d{5} ([nf]) $/.exec(line) ?? [];
      if (kind === undefined) return [];
      number += 1;
      return kind === "n" ? [{ number: number - 1, offset: Number(offset) }] : [];
    });
}

test("the byte range covers the whole file but the placeholder, and is written in it", async () => {
  const prepared = await preparePdf({ now: NOW });
  const { bytes, byteRange, signedBytes } = prepared;
  const [start, length, rest, restLength] = byteRange;
  assert.equal(start, 0);
  assert.equal(rest + restLength, bytes.length);
  assert.equal(signedBytes.length, length + restLength);
  assert.equal(placeholder(prepared), `<${"0".repeat(2 * 16_385)}>`);
  const written = /\/ByteRange \[([\d ]+)\]/.exec(bytes.toString("latin1"))?.[1];
  assert.deepEqual(written?.trim().split(/ +/).map(Number), byteRange);
});

test("the file is a function of its options, and another time moves nothing in it", async () => {
  const prepared = await preparePdf({ now: NOW });
  assert.deepEqual(await preparePdf({ now: NOW }), prepared);
  const later = await preparePdf({ now: new Date("2031-12-30T00:00:00Z") });
  assert.deepEqual(later.byteRange, prepared.byteRange);
  assert.notDeepEqual(later.signedBytes, prepared.signedBytes);
  assert.match(prepared.bytes.toString("latin1"), /\/M \(D:20260203040506\+00'00'\)/);
});

test("each entry of the cross-reference table points at its object", async () => {
  const text = (await preparePdf({ now: NOW, paddingBytes: 5 })).bytes.toString("latin1");
  const tables = [...text.matchAll(/startxref\n(\d+)\n%%EOF\n/g)].map(([, offset]) => Number(offset));
  const entries = tables.flatMap((table) => entriesOf(text.slice(table, text.indexOf("trailer", table))));
  // The page and the catalog have changed since the first table.
  assert.deepEqual(
    entries.map(({ number }) => number),
    [1, 2, 3, 4, 5, 6, 7, 8, 1, 3, 9, 10, 11],
  );
  for (const { number, offset } of entries) {
    const name = `${number} 0 obj\n`;
    assert.equal(text.substr(offset, name.length), name);
  }
  assert.match(text, new RegExp(`/Prev ${tables[0]} `));
});

test("padding makes the file longer, and its placeholder and what is appended no other", async () => {
  const plain = await preparePdf({ now: NOW });
  const padded = await preparePdf({ now: NOW, paddingBytes: 100_000 });
  assert.ok(padded.bytes.length > plain.bytes.length + 100_000);
  assert.equal(placeholder(padded), placeholder(plain));
  assert.ok(padded.byteRange[1] > plain.byteRange[1] + 100_000);
});

test("a signature that fills the placeholder is embedded, one that is a byte longer is refused", async () => {
  const prepared = await preparePdf({ now: NOW, placeholderBytes: 4 });
  const before = Buffer.from(prepared.bytes);
  const signed = embedSignature(prepared, Buffer.from("0123cdef", "hex"));
  assert.equal(placeholder({ ...prepared, bytes: signed }), "<0123cdef>");
  assert.throws(() => embedSignature(prepared, new Uint8Array(5)), {
    name: "RangeError",
    message: "Cannot embed a signature of 5 bytes: the placeholder holds 4",
  });
  assert.deepEqual(prepared.bytes, before);
});

test("sizes that make no sense are refused", async () => {
  for (const options of [{ placeholderBytes: 0 }, { placeholderBytes: 1.5 }, { paddingBytes: -1 }]) {
    await assert.rejects(preparePdf(options), RangeError);
  }
});

test("pdfsig finds a signature embedded in the file valid, and the total document signed", async () => {
  for (const options of [{}, { paddingBytes: 1_000_000, placeholderBytes: 3_000 }]) {
    const prepared = await preparePdf(options);
    const verdict = judgePdf(embedSignature(prepared, softwareSignature(prepared.signedBytes)));
    assert.ok(verdict.valid, verdict.text);
  }
});

test("pdfsig does not find it valid after a change of a signed byte", async () => {
  const prepared = await preparePdf();
  const signed = embedSignature(prepared, softwareSignature(prepared.signedBytes));
  signed.write("B", signed.indexOf("A sample agreement"), "latin1");
  const verdict = judgePdf(signed);
  assert.ok(!verdict.valid, verdict.text);
});
