import assert from "node:assert/strict";
import { createPublicKey, type KeyObject, randomBytes } from "node:crypto";
import { test } from "node:test";
import { type SignatureAlgorithm, signatureAlgorithm } from "../../lib/algorithms.ts";
import { NativeSign } from "../../lib/hsm/native_sign.ts";
import { lacks } from "../../lib/runtime.ts";
import { ALL_ALGORITHMS } from "../support/algorithms.ts";
import { fails } from "../support/fails.ts";
import { scriptedSignature } from "../support/scripted_signature.ts";
import { softwareCrypto, softwareKeyPair } from "../support/software.ts";

const script = scriptedSignature();
const SESSION = { handle: Buffer.alloc(8) };
const P11_OBJECT = { handle: Buffer.alloc(8) };
const WAYS = {
  "on the thread that signed": new NativeSign(script.modulePath),
  "by node:crypto": new NativeSign(script.modulePath, false),
} as const;

/** A key of the platform's, some data, and the signature over it as a token gives it. */
interface Signed {
  readonly algorithm: SignatureAlgorithm;
  readonly publicKey: KeyObject;
  readonly data: Buffer;
  readonly signature: Buffer;
}

async function signed(algorithm: SignatureAlgorithm): Promise<Signed> {
  const { privateKey, publicKey } = await softwareKeyPair(algorithm);
  const { subtle } = softwareCrypto;
  const [data, spki] = [randomBytes(200), await subtle.exportKey("spki", publicKey)];
  return {
    algorithm,
    data,
    signature: Buffer.from(await subtle.sign(algorithm.signParams, privateKey, data)),
    publicKey: createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" }),
  };
}

/** What becomes of a signature that the token gives. */
function signWith(
  way: NativeSign,
  { algorithm, publicKey, data }: Signed,
  signature: Uint8Array,
): Promise<Buffer> {
  script.set(signature);
  const key = { p11Object: P11_OBJECT, publicKeyObject: publicKey };
  return way.sign(SESSION, { key, algorithm, data, timings: { queueMs: 0, tokenMs: 0 } });
}

test("signatures are verified on the thread that signed, where the runtime has what that takes, unless nobody wants it", () => {
  assert.deepEqual(
    Object.values(WAYS).map(({ verifies }) => verifies),
    [!lacks("OpenSSL for addons"), false],
  );
});

for (const algorithm of ALL_ALGORITHMS) {
  const name = `${algorithm.key.name} ${algorithm.scheme} ${algorithm.hash.name}`;
  for (const [where, way] of Object.entries(WAYS)) {
    test(`${name}, verified ${where}: the signature leaves, and none in which a byte is another one`, async () => {
      const subject = await signed(algorithm);
      const { signature } = subject;
      assert.deepEqual(await signWith(way, subject, signature), signature);
      for (const position of signature.keys()) {
        const bent = Buffer.from(signature);
        bent[position] = (bent[position] ?? 0) ^ (1 << (position % 8));
        await assert.rejects(
          signWith(way, subject, bent),
          fails("ERR_SIGNATURE_WRONG"),
          `byte ${position} of ${signature.length}`,
        );
      }
    });

    test(`${name}, verified ${where}: a signature over other data, by another key or of another length does not leave`, async () => {
      const subject = await signed(algorithm);
      const { data, signature } = subject;
      const others: Readonly<Record<string, readonly [Signed, Uint8Array]>> = {
        "other data": [{ ...subject, data: Buffer.concat([data, Buffer.of(0)]) }, signature],
        "no data": [{ ...subject, data: Buffer.alloc(0) }, signature],
        "another key": [subject, (await signed(algorithm)).signature],
        "one byte less": [subject, signature.subarray(1)],
        "one byte more": [subject, Buffer.concat([signature, Buffer.of(0)])],
        nothing: [subject, Buffer.alloc(0)],
        "nothing but zeros": [subject, Buffer.alloc(signature.length)],
        "nothing but ones": [subject, Buffer.alloc(signature.length, 0xff)],
      };
      for (const [what, [asked, given]] of Object.entries(others)) {
        await assert.rejects(signWith(way, asked, given), fails("ERR_SIGNATURE_WRONG"), what);
      }
    });
  }
}

for (const [where, way] of Object.entries(WAYS)) {
  test(`verified ${where}: PSS is not PKCS #1 v1.5, and its salt is as long as the hash`, async () => {
    const [pkcs1, pss] = [
      await signed(signatureAlgorithm("RSA-2048", "SHA-256", "PKCS1")),
      await signed(signatureAlgorithm("RSA-2048", "SHA-256", "PSS")),
    ];
    const short = await signed({ ...pss.algorithm, signParams: { name: "RSA-PSS", saltLength: 20 } });
    for (const [algorithm, subject] of [
      [pss.algorithm, pkcs1],
      [pkcs1.algorithm, pss],
      [pss.algorithm, short],
    ] as const) {
      await assert.rejects(
        signWith(way, { ...subject, algorithm }, subject.signature),
        fails("ERR_SIGNATURE_WRONG"),
      );
    }
    assert.deepEqual(await signWith(way, pss, pss.signature), pss.signature);
  });

  test(`verified ${where}: a key of another kind than the signature's lets nothing leave`, async () => {
    const [rsa, ec] = [
      await signed(signatureAlgorithm("RSA-2048", "SHA-256")),
      await signed(signatureAlgorithm("P-256", "SHA-256")),
    ];
    await assert.rejects(signWith(way, { ...rsa, publicKey: ec.publicKey }, rsa.signature));
    await assert.rejects(signWith(way, { ...ec, publicKey: rsa.publicKey }, ec.signature));
  });

  test(`verified ${where}: a signature longer than there was room for is a failure of the library`, async () => {
    const subject = await signed(signatureAlgorithm("P-256", "SHA-256"));
    await assert.rejects(signWith(way, subject, Buffer.alloc(5_000)), /CKR_GENERAL_ERROR/);
  });
}
