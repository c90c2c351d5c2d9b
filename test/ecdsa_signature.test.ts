import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { generateKeyPairSync, sign, verify } from "node:crypto";
import { test } from "node:test";
import { ecdsaSignatureFromDer, ecdsaSignatureToDer } from "../lib/ecdsa_signature.ts";

const CURVES = [
  { namedCurve: "P-256", length: 32 },
  { namedCurve: "P-384", length: 48 },
  { namedCurve: "P-521", length: 66 },
] as const;

/** A big-endian integer of `length` bytes that begins with these and goes on with 0x55. */
function beginningWith(length: number, ...leading: readonly number[]): Buffer {
  const bytes = Buffer.alloc(length, 0x55);
  bytes.set(leading);
  return bytes;
}

/** Values that an encoder of integers can get wrong. */
function craftedIntegers(length: number): readonly { readonly name: string; readonly bytes: Buffer }[] {
  const last = (byte: number): Buffer => {
    const bytes = Buffer.alloc(length);
    bytes[length - 1] = byte;
    return bytes;
  };
  return [
    { name: "zero", bytes: last(0) },
    { name: "one", bytes: last(1) },
    { name: "0x7f", bytes: last(0x7f) },
    { name: "0x80", bytes: last(0x80) },
    { name: "0xff", bytes: last(0xff) },
    { name: "a leading 0x01", bytes: beginningWith(length, 0x01) },
    { name: "a leading 0x7f", bytes: beginningWith(length, 0x7f) },
    { name: "a high bit", bytes: beginningWith(length, 0x80) },
    { name: "all bits", bytes: Buffer.alloc(length, 0xff) },
    { name: "a zero byte", bytes: beginningWith(length, 0x00, 0x55) },
    { name: "a zero byte before a high bit", bytes: beginningWith(length, 0x00, 0x80) },
    { name: "many zero bytes", bytes: beginningWith(length, ...new Array<number>(length - 2).fill(0), 0x01) },
  ];
}

/** The two integers of an ECDSA-Sig-Value as OpenSSL reads them; it throws on what is no DER. */
function opensslIntegers(der: Uint8Array): bigint[] {
  const listing = execFileSync("openssl", ["asn1parse", "-inform", "DER"], { input: der, encoding: "utf8" });
  assert.match(listing, /^ +0:d=0 +hl=[23] l= *\d+ cons: SEQUENCE *\n.*INTEGER.*\n.*INTEGER.*\n$/);
  return [...listing.matchAll(/INTEGER +:(-?)([0-9A-F]+)$/gm)].map(([, minus, hex]) => {
    assert.equal(minus, "");
    return BigInt(`0x${hex}`);
  });
}

const toInteger = (bytes: Uint8Array): bigint => BigInt(`0x${Buffer.from(bytes).toString("hex")}`);

for (const { namedCurve, length } of CURVES) {
  for (const { name, bytes } of craftedIntegers(length)) {
    test(`${namedCurve}: ${name} comes out as an integer that OpenSSL reads, as r and as s`, () => {
      const other = beginningWith(length, 0x42);
      for (const [r, s] of [
        [bytes, other],
        [other, bytes],
        [bytes, bytes],
      ] as const) {
        const der = ecdsaSignatureToDer(Buffer.concat([r, s]));
        assert.deepEqual(opensslIntegers(der), [toInteger(r), toInteger(s)]);
        assertMinimal(der);
        assert.deepEqual(ecdsaSignatureFromDer(der, length), Buffer.concat([r, s]));
      }
    });
  }

  test(`${namedCurve}: what is made of r‖s is what OpenSSL makes of the same key's signatures, and back`, () => {
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve });
    for (let count = 0; count < 200; count += 1) {
      const data = Buffer.from(`document ${count}`);
      const raw = sign("sha512", data, { key: privateKey, dsaEncoding: "ieee-p1363" });
      const der = ecdsaSignatureToDer(raw);
      assert.ok(verify("sha512", data, { key: publicKey, dsaEncoding: "der" }, der), raw.toString("hex"));
      assert.deepEqual(ecdsaSignatureFromDer(der, length), raw);

      const theirs = sign("sha512", data, { key: privateKey, dsaEncoding: "der" });
      const theirsRaw = ecdsaSignatureFromDer(theirs, length) ?? new Uint8Array();
      assert.deepEqual(Buffer.from(ecdsaSignatureToDer(theirsRaw)), theirs);
    }
  });
}

/** Each integer in its shortest form (X.690 §8.3.2), and the lengths to the byte. */
function assertMinimal(der: Uint8Array): void {
  const header = (der[1] ?? 0) === 0x81 ? 3 : 2;
  assert.equal(der[header - 1], der.length - header);
  if (header === 3) assert.ok(der.length - header >= 0x80, "the long form is for 128 bytes and more");
  for (let offset = header; offset < der.length; ) {
    const [tag, length = 0, first = 0, second = 0] = der.subarray(offset);
    assert.equal(tag, 0x02);
    assert.ok(first < 0x80, "negative");
    if (length > 1 && first === 0) assert.ok(second >= 0x80, "a zero byte too many");
    offset += 2 + length;
  }
}

test("P-521 at its full length takes the long form of the length, and no zero byte", () => {
  const largest = beginningWith(66, 0x01);
  const der = ecdsaSignatureToDer(Buffer.concat([largest, largest]));
  assert.deepEqual([...der.subarray(0, 5)], [0x30, 0x81, 136, 0x02, 66]);
  assert.equal(der.length, 139);
});

test("the form of the length changes between 127 and 128 bytes", () => {
  const sizes = [
    { r: 61, s: 62, header: [0x30, 127] },
    { r: 62, s: 62, header: [0x30, 0x81, 128] },
  ];
  for (const { r, s, header } of sizes) {
    const padded = (digits: number): Buffer =>
      Buffer.concat([Buffer.alloc(66 - digits), Buffer.alloc(digits, 0x55)]);
    const der = ecdsaSignatureToDer(Buffer.concat([padded(r), padded(s)]));
    assert.deepEqual([...der.subarray(0, header.length)], header);
    assertMinimal(der);
  }
});

test("a signature of odd length, or of none, is refused with its length", () => {
  for (const length of [0, 1, 63, 65, 131]) {
    const message = `Cannot split an ECDSA signature of ${length} bytes into r and s`;
    assert.throws(() => ecdsaSignatureToDer(new Uint8Array(length)), { name: "RangeError", message });
  }
});

test("the signature that goes in is left as it is, and not shared with what comes out", () => {
  const raw = Buffer.concat([beginningWith(32, 0, 0x80), beginningWith(32, 0x7f)]);
  const copy = Buffer.from(raw);
  const der = ecdsaSignatureToDer(raw);
  der.fill(0);
  assert.deepEqual(raw, copy);
});

test("what is not the DER of two integers that fit is no signature on the way back", () => {
  const der = Buffer.from(ecdsaSignatureToDer(Buffer.alloc(64, 0x55)));
  assert.ok(ecdsaSignatureFromDer(der, 32));
  const changed = (offset: number, byte: number): Buffer => {
    const copy = Buffer.from(der);
    copy[offset] = byte;
    return copy;
  };
  for (const [name, bytes] of Object.entries({
    nothing: Buffer.alloc(0),
    "a byte": Buffer.alloc(1),
    "another tag": changed(0, 0x31),
    "another length": changed(1, 67),
    "the indefinite length": changed(1, 0x80),
    "another tag inside": changed(2, 0x03),
    "a longer first integer": changed(3, 33),
    "a longer second integer": changed(37, 255),
    "a negative integer": changed(4, 0x80),
    "an end that is cut off": der.subarray(0, -1),
    "bytes behind it": Buffer.concat([der, Buffer.alloc(1)]),
    "a zero byte too many": Buffer.from(`3045022100${"55".repeat(32)}0220${"55".repeat(32)}`, "hex"),
    "the long form of a short length": Buffer.concat([Buffer.from([0x30, 0x81]), der.subarray(1)]),
  })) {
    assert.equal(ecdsaSignatureFromDer(bytes, 32), undefined, name);
  }
  // Integers of another curve.
  assert.equal(ecdsaSignatureFromDer(ecdsaSignatureToDer(Buffer.alloc(96, 0x55)), 32), undefined);
});
