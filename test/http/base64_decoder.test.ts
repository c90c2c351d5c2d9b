import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { SignerError } from "../../lib/errors.ts";
import { Base64Decoder } from "../../lib/http/base64_decoder.ts";
import { SeededRandom } from "../support/seeded_random.ts";

const MUTATED_CASES = 20_000;
const INSERTIONS = [
  "=",
  "==",
  "====",
  "-",
  "_",
  "+",
  "/",
  " ",
  "\n",
  "\r\n",
  "\u0000",
  "\u00ff",
  "A",
  "QUJD",
] as const;

function decode(pieces: readonly Buffer[]): Buffer {
  const decoded: Buffer[] = [];
  const decoder = new Base64Decoder((bytes) => decoded.push(Buffer.from(bytes)));
  for (const piece of pieces) decoder.write(piece);
  decoder.end();
  return Buffer.concat(decoded);
}

/** Every text has at most one reading (RFC 4648 §3.5), and it is encoded back to that text. */
function decodeStrictly(text: Buffer): Buffer | undefined {
  const bytes = Buffer.from(text.toString("latin1"), "base64");
  return bytes.toString("base64") === text.toString("latin1") ? bytes : undefined;
}

describe("Base64, decoded as it arrives,", () => {
  it("gives the bytes, wherever it is cut in two.", () => {
    const random = new SeededRandom(1);
    for (let length = 0; length < 40; length += 1) {
      const bytes = random.bytes(length);
      const text = Buffer.from(bytes.toString("base64"));
      for (let at = 0; at <= text.length; at += 1) {
        assert.deepEqual(decode([text.subarray(0, at), text.subarray(at)]), bytes);
      }
    }
  });

  for (const length of [49_149, 49_150, 49_151, 49_152, 49_153, 49_154, 200_000]) {
    it(`gives ${length} bytes, which do not fit at once or just so, in pieces of any size.`, () => {
      const random = new SeededRandom(length);
      const bytes = random.bytes(length);
      const text = Buffer.from(bytes.toString("base64"));
      assert.deepEqual(decode([text]), bytes);
      for (const begin of [0, 1, 2, 3]) {
        assert.deepEqual(decode([text.subarray(0, begin), text.subarray(begin)]), bytes);
      }
      assert.deepEqual(decode(random.pieces(text)), bytes);
    });
  }

  it("takes every final group of two and three characters or refuses it, as its own encoder does.", () => {
    const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (const [prefix, padding] of [
      ["Q", "=="],
      ["QU", "="],
    ] as const) {
      for (const letter of alphabet) {
        const text = Buffer.from(`${prefix}${letter}${padding}`);
        const expected = decodeStrictly(text);
        if (expected) assert.deepEqual(decode([text]), expected);
        else assert.throws(() => decode([text]), { code: "ERR_BASE64_MALFORMED" }, text.toString());
      }
    }
  });

  it("refuses every byte that is not in the alphabet, at every place of a group.", () => {
    for (let byte = 0; byte < 256; byte += 1) {
      for (let at = 0; at < 8; at += 1) {
        const text = Buffer.from("QUJDQUJD");
        text[at] = byte;
        const expected = decodeStrictly(text);
        if (expected) assert.deepEqual(decode([text]), expected);
        else assert.throws(() => decode([text]), { code: "ERR_BASE64_MALFORMED" }, text.toString("latin1"));
      }
    }
  });

  it("is accepted, in whatever pieces, exactly where a strict decoder accepts it, with the same bytes.", () => {
    const random = new SeededRandom(2);
    let accepted = 0;
    for (let count = 0; count < MUTATED_CASES; count += 1) {
      const valid = Buffer.from(random.bytes(random.below(40)).toString("base64"));
      const text = random.mutated(valid, INSERTIONS);
      const expected = decodeStrictly(text);
      const label = JSON.stringify(text.toString("latin1"));
      try {
        assert.deepEqual(decode(random.pieces(text)), expected, label);
        accepted += 1;
      } catch (error) {
        if (!(error instanceof SignerError)) throw error;
        assert.equal(error.code, "ERR_BASE64_MALFORMED");
        assert.equal(expected, undefined, `${label} was refused: ${error.message}`);
      }
    }
    assert.ok(accepted > MUTATED_CASES / 50, `only ${accepted} were accepted`);
    assert.ok(accepted < MUTATED_CASES / 2, `${accepted} were accepted`);
  });

  it("says nothing of what it refuses.", () => {
    for (const text of ["secret", "secr*t==", "secret-_", "secretz=", "sec=secr"]) {
      assert.throws(
        () => decode([Buffer.from(text)]),
        (error) => error instanceof SignerError && !/sec/.test(error.message),
      );
    }
  });
});
