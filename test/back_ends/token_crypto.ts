import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { signatureAlgorithm } from "../../lib/algorithms.ts";
import * as x509 from "../../lib/credential/x509.ts";
import type { TokenKeyPair } from "../../lib/hsm/key_pairs.ts";
import type { Token } from "../../lib/hsm/token.ts";
import { TokenCrypto } from "../../lib/hsm/token_crypto.ts";
import { type BackEnd, keyPairFor } from "../support/back_ends.ts";
import { softwareCrypto } from "../support/software.ts";
import { openTestToken } from "../support/token.ts";

const data = Buffer.from("what is signed");
const isRefusal = (name: string) => (error: unknown) => error instanceof DOMException && error.name === name;

/** The token as a WebCrypto. */
export function tokenCryptoSuite(backEnd: BackEnd): void {
  describe("a token's WebCrypto", () => {
    let token: Token;
    let crypto: TokenCrypto;
    let p256: TokenKeyPair;
    let pss: TokenKeyPair;
    before(async () => {
      token = openTestToken(backEnd, { sessions: 2 });
      crypto = new TokenCrypto(token);
      p256 = await keyPairFor(token, backEnd, signatureAlgorithm("P-256", "SHA-256"));
      pss = await keyPairFor(token, backEnd, signatureAlgorithm("RSA-2048", "SHA-256", "PSS"));
    });
    after(() => token.close(1_000));

    for (const algorithm of backEnd.algorithms.filter(({ key }) => key.name !== "RSA-4096")) {
      const name = `${algorithm.key.name} ${algorithm.scheme} ${algorithm.hash.name}`;

      test(`${name}: @peculiar/x509 uses the token as any other WebCrypto`, async () => {
        const keys = await keyPairFor(token, backEnd, algorithm);
        const request = await x509.Pkcs10CertificateRequestGenerator.create(
          { name: "CN=Request", keys, signingAlgorithm: algorithm.signParams as Algorithm },
          crypto,
        );
        assert.ok(await request.verify(crypto));
        const spki = await crypto.subtle.exportKey("spki", keys.publicKey);
        const signature = await crypto.subtle.sign(algorithm.signParams, keys.privateKey, data);
        assert.ok(await crypto.subtle.verify(algorithm.signParams, keys.publicKey, signature, data));
        const elsewhere = await softwareCrypto.subtle.importKey("spki", spki, algorithm.keyAlgorithm, true, [
          "verify",
        ]);
        assert.ok(await softwareCrypto.subtle.verify(algorithm.signParams, elsewhere, signature, data));
      });
    }

    test("a key tells of itself what a CryptoKey tells", () => {
      assert.deepEqual(
        [p256.privateKey.type, p256.privateKey.extractable, p256.privateKey.usages],
        ["private", false, ["sign"]],
      );
      assert.deepEqual(
        [p256.publicKey.type, p256.publicKey.extractable, p256.publicKey.usages],
        ["public", true, ["verify"]],
      );
      const { name, modulusLength, publicExponent, hash } = pss.privateKey
        .algorithm as unknown as RsaHashedKeyAlgorithm;
      assert.deepEqual(
        { name, modulusLength, publicExponent, hash },
        {
          name: "RSA-PSS",
          modulusLength: 2048,
          publicExponent: new Uint8Array([1, 0, 1]),
          hash: { name: "SHA-256" },
        },
      );
    });

    test("an ECDSA key signs with the hash that is asked for, and not with SHA-1", async () => {
      const signature = await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-384" }, p256.privateKey, data);
      assert.ok(
        await crypto.subtle.verify(
          { name: "ECDSA", hash: { name: "SHA-384" } },
          p256.publicKey,
          signature,
          data,
        ),
      );
      const sha1 = crypto.subtle.sign({ name: "ECDSA", hash: "SHA-1" }, p256.privateKey, data);
      await assert.rejects(sha1, isRefusal("NotSupportedError"));
    });

    test("what a key is not for is refused as WebCrypto prescribes", async () => {
      const { subtle } = crypto;
      const ecdsa = { name: "ECDSA", hash: "SHA-256" };
      await assert.rejects(subtle.exportKey("pkcs8", p256.privateKey), isRefusal("InvalidAccessError"));
      await assert.rejects(subtle.sign(ecdsa, p256.publicKey, data), isRefusal("InvalidAccessError"));
      await assert.rejects(
        subtle.verify(ecdsa, p256.privateKey, data, data),
        isRefusal("InvalidAccessError"),
      );
      await assert.rejects(
        subtle.sign({ name: "RSA-PSS", saltLength: 32 }, p256.privateKey, data),
        isRefusal("InvalidAccessError"),
      );
      await assert.rejects(
        subtle.sign({ name: "RSA-PSS", saltLength: 20 }, pss.privateKey, data),
        isRefusal("NotSupportedError"),
      );
    });

    test("digests, random values and keys that are not the token's work as on the platform", async () => {
      const { subtle } = crypto;
      assert.deepEqual(
        await subtle.digest("SHA-256", data),
        await softwareCrypto.subtle.digest("SHA-256", data),
      );
      assert.notDeepEqual(crypto.getRandomValues(new Uint8Array(32)), new Uint8Array(32));
      assert.match(crypto.randomUUID(), /^[\da-f-]{36}$/);
      const key = await subtle.generateKey({ name: "HMAC", hash: "SHA-256" }, false, ["sign", "verify"]);
      assert.ok(await subtle.verify("HMAC", key, await subtle.sign("HMAC", key, data), data));
    });
  });
}
