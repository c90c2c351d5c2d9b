import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { embedSignature, type PreparedPdf, preparePdf } from "../dev/sample_pdf.ts";
import { judgePdf } from "./support/judges.ts";
import { temporaryDirectory } from "./support/temporary.ts";

const NOW = new Date("2026-02-03T04:05:06.789Z");

function placeholder({ bytes, byteRange }: PreparedPdf): string {
  return bytes.toString("latin1", byteRange[1], byteRange[2]);
}

/** A detached SignedData of OpenSSL's, with a key of this test's own. */
function softwareSignature(content: Uint8Array): Buffer {
  const directory = temporaryDirectory();
  const [key, certificate, file] = ["key.pem", "certificate.pem", "content"].map((name) =>
    join(directory, name),
  );
  assert.ok(key && certificate && file);
  const openssl = (...args: string[]): Buffer =>
    execFileSync("openssl", args, { stdio: ["ignore", "pipe", "ignore"] });
  const [pair, subject] = [
    ["-newkey", "rsa:2048", "-nodes", "-keyout", key],
    ["-subj", "/CN=Sample signer"],
  ];
  openssl("req", "-x509", ...pair, ...subject, "-days", "2", "-out", certificate);
  writeFileSync(file, content);
  const signer = ["-signer", certificate, "-inkey", key];
  return openssl("cms", "-sign", "-binary", "-outform", "DER", "-md", "sha256", ...signer, "-in", file);
}

test("the byte range covers the whole file but the placeholder, and is written in it", () => {
  const prepared = preparePdf({ now: NOW });
  const { bytes, byteRange, signedBytes } = prepared;
  const [start, length, rest, restLength] = byteRange;
  assert.equal(start, 0);
  assert.equal(rest + restLength, bytes.length);
  assert.equal(signedBytes.length, length + restLength);
  assert.equal(placeholder(prepared), `<${"0".repeat(2 * 16_385)}>`);
  const written = /\/ByteRange \[([\d ]+)\]/.exec(bytes.toString("latin1"))?.[1];
  assert.deepEqual(written?.trim().split(/ +/).map(Number), byteRange);
});

test("the file is a function of its options, and another time moves nothing in it", () => {
  const prepared = preparePdf({ now: NOW });
  assert.deepEqual(preparePdf({ now: NOW }), prepared);
  const later = preparePdf({ now: new Date("2031-12-30T00:00:00Z") });
  assert.deepEqual(later.byteRange, prepared.byteRange);
  assert.notDeepEqual(later.signedBytes, prepared.signedBytes);
  assert.match(prepared.bytes.toString("latin1"), /\/M \(D:20260203040506\+00'00'\)/);
});

test("each entry of the cross-reference table points at its object", () => {
  const text = preparePdf({ now: NOW, paddingBytes: 5 }).bytes.toString("latin1");
  const table = Number(/startxref\n(\d+)\n%%EOF\n$/.exec(text)?.[1]);
  const [, , free, ...entries] = text.slice(table, text.indexOf("trailer")).trimEnd().split("\n");
  assert.equal(free, "0000000000 65535 f ");
  assert.equal(entries.length, 11);
  for (const [index, entry] of entries.entries()) {
    const name = `${index + 1} 0 obj\n`;
    assert.equal(text.substr(Number.parseInt(entry, 10), name.length), name);
  }
});

test("padding makes the file longer and leaves the placeholder where it is", () => {
  const [plain, padded] = [preparePdf({ now: NOW }), preparePdf({ now: NOW, paddingBytes: 100_000 })];
  assert.ok(padded.bytes.length > plain.bytes.length + 100_000);
  assert.deepEqual(padded.byteRange.slice(0, 3), plain.byteRange.slice(0, 3));
});

test("a signature that fills the placeholder is embedded, one that is a byte longer is refused", () => {
  const prepared = preparePdf({ now: NOW, placeholderBytes: 4 });
  const before = Buffer.from(prepared.bytes);
  const signed = embedSignature(prepared, Buffer.from("0123cdef", "hex"));
  assert.equal(placeholder({ ...prepared, bytes: signed }), "<0123cdef>");
  assert.throws(() => embedSignature(prepared, new Uint8Array(5)), {
    name: "RangeError",
    message: "Cannot embed a signature of 5 bytes: the placeholder holds 4",
  });
  assert.deepEqual(prepared.bytes, before);
});

test("sizes that make no sense are refused", () => {
  for (const options of [{ placeholderBytes: 0 }, { placeholderBytes: 1.5 }, { paddingBytes: -1 }]) {
    assert.throws(() => preparePdf(options), RangeError);
  }
});

test("pdfsig finds a signature embedded in the file valid, and the total document signed", () => {
  for (const options of [{}, { paddingBytes: 1_000_000, placeholderBytes: 3_000 }]) {
    const prepared = preparePdf(options);
    const verdict = judgePdf(embedSignature(prepared, softwareSignature(prepared.signedBytes)));
    assert.ok(verdict.valid, verdict.text);
  }
});

test("pdfsig does not find it valid after a change of a signed byte", () => {
  const prepared = preparePdf();
  const signed = embedSignature(prepared, softwareSignature(prepared.signedBytes));
  signed.write("B", signed.indexOf("A sample agreement"), "latin1");
  const verdict = judgePdf(signed);
  assert.ok(!verdict.valid, verdict.text);
});
