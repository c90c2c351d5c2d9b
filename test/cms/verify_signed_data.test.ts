import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { type SignatureAlgorithm, signatureAlgorithm } from "../../lib/algorithms.ts";
import { type ExpectedSignedData, verifySignedData } from "../../lib/cms/verify_signed_data.ts";
import { DocumentSigner } from "../../lib/document_signer.ts";
import { ALL_ALGORITHMS } from "../support/algorithms.ts";
import { softwareCredential } from "../support/software.ts";

interface Signed {
  readonly container: Uint8Array;
  readonly expected: ExpectedSignedData;
}

async function signed(algorithm: SignatureAlgorithm): Promise<Signed> {
  const credential = await softwareCredential(algorithm);
  const digest = randomBytes(algorithm.hash.length);
  const { leaf } = credential.chain;
  return {
    container: await new DocumentSigner(credential, () => new Date()).sign(digest),
    expected: { algorithm, digest, certificate: leaf.raw, publicKey: leaf.publicKey },
  };
}

/** The OBJECT IDENTIFIER of the first signed attribute. */
const CONTENT_TYPE = Buffer.from("06092a864886f70d010903", "hex");
const P256 = signatureAlgorithm("P-256", "SHA-256");

for (const algorithm of ALL_ALGORITHMS) {
  test(`${algorithm.key.name} ${algorithm.scheme} ${algorithm.hash.name}: what the service makes verifies`, async () => {
    const { container, expected } = await signed(algorithm);
    await verifySignedData(container, expected);
    await assert.rejects(
      () => verifySignedData(container, { ...expected, digest: randomBytes(algorithm.hash.length) }),
      /another digest/,
    );
  });
}

test("attributes and a signature of which one bit is another do not verify", async () => {
  const { container, expected } = await signed(P256);
  const start = Buffer.from(container).lastIndexOf(CONTENT_TYPE);
  assert.ok(start > 0);
  for (let index = start; index < container.length; index += 1) {
    const garbled = Uint8Array.from(container);
    garbled[index] = (garbled[index] ?? 0) ^ 1;
    await assert.rejects(() => verifySignedData(garbled, expected), `byte ${index}`);
  }
});

test("a container that names another hash is refused", async () => {
  const { container, expected } = await signed(P256);
  const other = signatureAlgorithm("P-256", "SHA-512");
  await assert.rejects(
    () => verifySignedData(container, { ...expected, algorithm: other }),
    /other algorithms/,
  );
});

test("a container of another signer is refused", async () => {
  const [one, other] = [await signed(P256), await signed(P256)];
  const { digest } = one.expected;
  await assert.rejects(
    () => verifySignedData(one.container, { ...other.expected, digest }),
    /another signer/,
  );
});

test("a key that is not the certificate's does not verify it", async () => {
  const [one, other] = [await signed(P256), await signed(P256)];
  const { publicKey } = other.expected;
  await assert.rejects(
    () => verifySignedData(one.container, { ...one.expected, publicKey }),
    /does not verify/,
  );
});

test("what is no SignedData is refused", async () => {
  const { expected } = await signed(P256);
  for (const bytes of [
    new Uint8Array(),
    randomBytes(100),
    Buffer.from("300b06092a864886f70d010701", "hex"),
  ]) {
    await assert.rejects(() => verifySignedData(bytes, expected));
  }
});
