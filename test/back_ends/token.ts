import assert from "node:assert/strict";
import { randomBytes, verify } from "node:crypto";
import { after, before, describe, test } from "node:test";
import * as graphene from "graphene-pk11";
import { type SignatureAlgorithm, signatureAlgorithm } from "../../lib/algorithms.ts";
import type { Token } from "../../lib/hsm/token.ts";
import type { BackEnd } from "../support/back_ends.ts";
import { fails } from "../support/fails.ts";
import { generateP256, withPlainSession } from "../support/plain_session.ts";
import { openTestToken } from "../support/token.ts";

const rsa = signatureAlgorithm("RSA-2048", "SHA-256");
const p256 = signatureAlgorithm("P-256", "SHA-256");

/** Keys and sessions of a token. */
export function tokenSuite(backEnd: BackEnd): void {
  describe("a token", () => {
    let token: Token;
    before(() => {
      token = openTestToken(backEnd, { sessions: 16 });
    });
    after(() => token.close(5_000));
    const label = backEnd.keyLabel;

    test("a generated private key is on the token, sensitive, not extractable, and has its public half's CKA_ID", async () => {
      const { privateKey, publicKey, warnings } = await token.generateKeyPair(label("made here"), rsa);
      assert.deepEqual(warnings, []);
      const attributes = {
        token: null,
        private: null,
        sensitive: null,
        extractable: null,
        sign: null,
      };
      assert.deepEqual(privateKey.p11Object.getAttribute(attributes as unknown as graphene.ITemplate), {
        token: true,
        private: true,
        sensitive: true,
        extractable: false,
        sign: true,
      });
      const id = privateKey.p11Object.getAttribute("id") as Buffer;
      assert.equal(id.length, 20);
      assert.deepEqual(publicKey.p11Object.getAttribute("id"), id);
      assert.throws(() =>
        privateKey.p11Object.getAttribute({ privateExponent: null } as unknown as graphene.ITemplate),
      );
    });

    test("random bytes are the token's", () => {
      const bytes = token.randomBytes(32);
      assert.equal(bytes.length, 32);
      assert.notDeepEqual(token.randomBytes(32), bytes);
    });

    test("200 callers over 16 sessions each get a signature over their own bytes", async () => {
      const { privateKey } = await token.generateKeyPair(label("busy"), p256);
      let mostLeased = 0;
      await Promise.all(
        Array.from({ length: 200 }, async () => {
          const data = randomBytes(150);
          const signing = token.sign(privateKey, p256, data);
          mostLeased = Math.max(mostLeased, token.sessions.leased);
          const options = { key: privateKey.publicKeyObject, dsaEncoding: "ieee-p1363" } as const;
          assert.ok(verify("sha256", data, options, await signing));
        }),
      );
      assert.equal(mostLeased, 16);
      assert.deepEqual({ ...token.sessions }, { size: 16, open: 16, leased: 0, overdue: 0, waiting: 0 });
    });

    test("a label that no private key has is not found", () => {
      assert.equal(token.findKeyPair(label("nobody"), rsa), undefined);
    });

    test("a label that two private keys have is refused, and the error names both", async () => {
      await token.generateKeyPair(label("twice"), p256);
      await token.generateKeyPair(label("twice"), p256);
      assert.throws(
        () => token.findKeyPair(label("twice"), p256),
        fails("ERR_KEY_AMBIGUOUS", /2 private keys .*CKA_ID \w{40}, \w{40}/),
      );
    });

    test("a private key without its public half is refused", async () => {
      await token.generateKeyPair(label("half"), p256);
      withPlainSession(backEnd, (session) =>
        session.destroy({ class: graphene.ObjectClass.PUBLIC_KEY, label: label("half") }),
      );
      assert.throws(() => token.findKeyPair(label("half"), p256), fails("ERR_KEY_UNUSABLE", /0 public keys/));
    });

    for (const [made, wanted] of [
      [rsa, p256],
      [p256, signatureAlgorithm("P-384", "SHA-384")],
      [p256, rsa],
      [rsa, signatureAlgorithm("RSA-3072", "SHA-256")],
    ] satisfies [SignatureAlgorithm, SignatureAlgorithm][]) {
      test(`an ${made.key.name} key where ${wanted.key.name} is configured is refused, and the error names both`, async () => {
        const name = label(`${made.key.name} for ${wanted.key.name}`);
        await token.generateKeyPair(name, made);
        const message = new RegExp(`it is ${made.key.name}, and HSM_KEY_ALGORITHM says ${wanted.key.name}`);
        assert.throws(() => token.findKeyPair(name, wanted), fails("ERR_KEY_UNUSABLE", message));
      });
    }

    test("a key that may leave the token is used, and the operator is told", () => {
      withPlainSession(backEnd, (session) =>
        generateP256(session, { label: label("loose") }, { sensitive: true, extractable: true }),
      );
      assert.deepEqual(token.findKeyPair(label("loose"), p256)?.warnings, [
        "the private key is extractable (CKA_EXTRACTABLE)",
      ]);
    });

    test("a key that may not sign is refused", () => {
      withPlainSession(backEnd, (session) =>
        generateP256(session, { label: label("mute") }, { sign: false, derive: true }),
      );
      assert.throws(
        () => token.findKeyPair(label("mute"), p256),
        fails("ERR_KEY_UNUSABLE", /CKA_SIGN is false/),
      );
    });

    // The last one: with what cannot be opened the module is finalized, which this process has open already.
    test("a token label that is not there is refused with a list of those that are", () => {
      assert.throws(
        () => openTestToken({ ...backEnd, label: "elsewhere" }),
        fails(
          "ERR_TOKEN_NOT_FOUND",
          new RegExp(`0 are labelled "elsewhere" \\(HSM_TOKEN_LABEL\\); present: .*"${backEnd.label}"`),
        ),
      );
    });
  });
}
