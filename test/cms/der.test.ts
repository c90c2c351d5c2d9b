import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import * as asn1js from "asn1js";
import { DerWriter, setOf, TAG, tlv, tlvLength } from "../../lib/cms/der.ts";

/** At both sides of each length whose own encoding grows. */
const LENGTHS = [0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x10000, 0x1000000];

function octetString(contents: Uint8Array): Buffer {
  return Buffer.from(new asn1js.OctetString({ valueHex: Uint8Array.from(contents).buffer }).toBER(false));
}

for (const length of LENGTHS) {
  test(`a value with ${length} bytes of contents is what asn1js makes of it, in each of the ways`, () => {
    const contents = randomBytes(length);
    const expected = octetString(contents);
    assert.ok(expected.equals(tlv(TAG.octetString, contents.subarray(0, 1), contents.subarray(1))));
    assert.equal(tlvLength(length), expected.length);
    const room = expected.length + 3;
    assert.ok(expected.equals(new DerWriter(room).prependValue(TAG.octetString, contents).written));
    assert.ok(expected.equals(new DerWriter(room).prepend(contents).enclose(TAG.octetString).written));
  });
}

test("what is written first stands last, and a tag can be another one", () => {
  const writer = new DerWriter(64).prepend(Uint8Array.of(5, 0)).prependValue(TAG.integer, Uint8Array.of(7));
  const { written } = writer.prependAs(TAG.context0, Uint8Array.of(TAG.set, 1, 9)).enclose(TAG.sequence);
  assert.deepEqual([...written], [TAG.sequence, 8, TAG.context0, 1, 9, TAG.integer, 1, 7, 5, 0]);
});

test("more than there is room for is refused, and not cut", () => {
  assert.throws(() => new DerWriter(2).prepend(randomBytes(3)), RangeError);
  assert.throws(() => new DerWriter(3).prepend(randomBytes(2)).enclose(TAG.set), RangeError);
  assert.throws(() => new DerWriter(4).prependValue(TAG.octetString, randomBytes(3)), RangeError);
});

test("a SET OF is in ascending order, whatever it came in", () => {
  const [low, middle, high] = [Uint8Array.of(2, 1, 1), Uint8Array.of(2, 1, 2), Uint8Array.of(4, 0)];
  const expected = tlv(TAG.set, low, middle, high);
  for (const elements of [
    [low, middle, high],
    [high, middle, low],
    [middle, low, high],
  ])
    assert.deepEqual(setOf(TAG.set, elements), expected);
});
