import assert from "node:assert/strict";
import { type KeyObject, randomBytes } from "node:crypto";
import { test } from "node:test";
import type { SignatureAlgorithm } from "../../lib/algorithms.ts";
import type { Signer } from "../../lib/signer.ts";
import { verifySignature } from "../../lib/verify_signature.ts";

export interface SignerUnderTest {
  readonly signer: Signer;
  readonly publicKey: KeyObject;
}

/** What every signer promises, whatever holds its key. */
export function signerContract(
  algorithms: readonly SignatureAlgorithm[],
  make: (algorithm: SignatureAlgorithm) => Promise<SignerUnderTest>,
): void {
  for (const algorithm of algorithms) {
    const name = `${algorithm.key.name} ${algorithm.scheme} ${algorithm.hash.name}`;
    const isValid = (
      { publicKey }: SignerUnderTest,
      data: Uint8Array,
      signature: Uint8Array,
    ): Promise<boolean> => verifySignature(algorithm, publicKey, data, signature, "der");

    test(`${name}: a signature verifies over its own bytes alone, and is as long as announced`, async () => {
      const subject = await make(algorithm);
      for (const length of [0, 1, 200, 100_000]) {
        const data = randomBytes(length);
        const signature = await subject.signer.sign(data);
        assert.ok(await isValid(subject, data, signature), `${length} bytes`);
        assert.ok(!(await isValid(subject, Buffer.concat([data, Buffer.from("x")]), signature)));
        assert.ok(signature.length <= algorithm.maxSignatureLength);
        if (algorithm.key.kind === "RSA") assert.equal(signature.length, algorithm.maxSignatureLength);
      }
    });

    test(`${name}: callers at once each get the signature over their own bytes`, async () => {
      const subject = await make(algorithm);
      const inputs = Array.from({ length: 20 }, () => randomBytes(100));
      const signatures = await Promise.all(inputs.map((data) => subject.signer.sign(data)));
      for (const [index, data] of inputs.entries()) {
        const signature = signatures[index] ?? new Uint8Array();
        assert.ok(await isValid(subject, data, signature), `caller ${index}`);
      }
    });

    test(`${name}: bytes that the caller changes after the call are signed as they were`, async () => {
      const subject = await make(algorithm);
      const data = randomBytes(64);
      const original = Buffer.from(data);
      const signing = subject.signer.sign(data);
      data.fill(0);
      assert.ok(await isValid(subject, original, await signing));
    });
  }
}
