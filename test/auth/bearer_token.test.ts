import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { describe, it } from "node:test";
import {
  hashOfBearerToken,
  isBearerToken,
  isWholeBearerToken,
  newBearerToken,
} from "../../lib/auth/bearer_token.ts";
import { SeededRandom } from "../support/seeded_random.ts";

describe("A bearer token", () => {
  it("is known by its beginning, is fit for a header, and is never the same twice.", () => {
    const tokens = Array.from({ length: 1_000 }, newBearerToken);
    for (const token of tokens) {
      assert.match(token, /^hsms_[\w-]{48}$/);
      assert.ok(isBearerToken(token) && isWholeBearerToken(token), token);
    }
    assert.equal(new Set(tokens).size, tokens.length);
  });

  it("has 256 random bits, each as often 0 as 1.", () => {
    const count = 2_000;
    const ones = new Array<number>(256).fill(0);
    for (let index = 0; index < count; index += 1) {
      const bytes = Buffer.from(newBearerToken().slice(5), "base64url");
      for (let bit = 0; bit < 256; bit += 1) {
        ones[bit] = (ones[bit] ?? 0) + (((bytes[bit >> 3] ?? 0) >> (bit & 7)) & 1);
      }
    }
    // Eight standard deviations.
    for (const number of ones) assert.ok(Math.abs(number - count / 2) < 4 * Math.sqrt(count), String(number));
  });

  it("is not whole when a character is missing, added, another, or in another place.", () => {
    const random = new SeededRandom(3);
    const token = newBearerToken();
    const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (let place = 5; place < token.length; place += 1) {
      const [head, letter, tail] = [token.slice(0, place), token.charAt(place), token.slice(place + 1)];
      assert.ok(!isWholeBearerToken(head + tail));
      assert.ok(!isWholeBearerToken(`${head}${letter}${letter}${tail}`));
      const next = tail.charAt(0);
      if (next !== letter)
        assert.ok(!isWholeBearerToken(head + next + letter + tail.slice(1)) || tail === "");
      const others = alphabet.replace(letter, "");
      const other = others.charAt(random.below(others.length));
      assert.ok(!isWholeBearerToken(head + other + tail), `${place}: ${other}`);
    }
  });

  it("is not anything else that begins so.", () => {
    const text = randomBytes(36).toString("base64url");
    for (const other of [
      "hsms_",
      `hsms_${text}`,
      `HSMS_${text}`,
      ` ${newBearerToken()}`,
      `${newBearerToken()}\n`,
    ])
      assert.ok(!isWholeBearerToken(other));
    assert.ok(!isBearerToken("eyJhbGciOiJub25lIn0.e30."));
  });

  it("is kept as the SHA-256 of its text.", () => {
    const token = newBearerToken();
    assert.deepEqual(hashOfBearerToken(token), createHash("sha256").update(token, "utf8").digest());
  });
});
