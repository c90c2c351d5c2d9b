import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createPublicKey, type KeyObject, randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type KeyAlgorithm, type SignatureAlgorithm, signatureAlgorithm } from "../lib/algorithms.ts";
import { ecdsaSignatureFromDer } from "../lib/ecdsa_signature.ts";
import { verifySignature } from "../lib/verify_signature.ts";
import { ALL_ALGORITHMS } from "./support/algorithms.ts";
import { temporaryDirectory } from "./support/temporary.ts";

const directory = temporaryDirectory();
const DATA = randomBytes(200);

function openssl(...args: readonly string[]): void {
  execFileSync("openssl", args, { cwd: directory, stdio: ["ignore", "ignore", "pipe"] });
}

/** A pair that OpenSSL makes, for all rows with the same kind of key. */
function publicKeyOf(key: KeyAlgorithm): KeyObject {
  const kind =
    key.kind === "RSA"
      ? ["-algorithm", "RSA", "-pkeyopt", `rsa_keygen_bits:${key.modulusLength}`]
      : ["-algorithm", "EC", "-pkeyopt", `ec_paramgen_curve:${key.namedCurve}`];
  openssl("genpkey", ...kind, "-out", "key.pem");
  return createPublicKey(readFileSync(join(directory, "key.pem")));
}

/** Over `DATA`, with the pair that was made last. */
function signatureOf({ scheme, hash }: SignatureAlgorithm): Buffer {
  writeFileSync(join(directory, "data"), DATA);
  const pss = ["rsa_padding_mode:pss", "rsa_pss_saltlen:digest"].flatMap((option) => ["-sigopt", option]);
  const options = [`-${hash.nodeName}`, "-sign", "key.pem", ...(scheme === "PSS" ? pss : [])];
  openssl("dgst", ...options, "-out", "signature", "data");
  return readFileSync(join(directory, "signature"));
}

for (const algorithm of ALL_ALGORITHMS) {
  const { key, scheme, hash } = algorithm;
  test(`${key.name} ${scheme} ${hash.name}: a signature that OpenSSL made verifies, and none of anything else`, async () => {
    const publicKey = publicKeyOf(key);
    const signature = signatureOf(algorithm);
    const raw = key.kind === "EC" ? ecdsaSignatureFromDer(signature, key.coordinateLength) : signature;
    assert.ok(raw);
    for (const [form, bytes] of [
      ["der", signature],
      ["raw", raw],
    ] as const) {
      const isValid = (data: Uint8Array, candidate: Uint8Array): Promise<boolean> =>
        verifySignature(algorithm, publicKey, data, candidate, form);
      assert.equal(await isValid(DATA, bytes), true);
      assert.equal(await isValid(DATA.subarray(1), bytes), false);
      const other = Buffer.from(bytes);
      other[other.length - 1] = (other.at(-1) ?? 0) ^ 1;
      assert.equal(await isValid(DATA, other), false);
      assert.equal(await isValid(DATA, bytes.subarray(1)), false);
      assert.equal(await isValid(DATA, new Uint8Array()), false);
    }
    assert.equal(await verifySignature(algorithm, publicKeyOf(key), DATA, signature, "der"), false);
  });
}

test("a key of another kind verifies nothing", async () => {
  const rsa = publicKeyOf(signatureAlgorithm("RSA-2048", "SHA-256").key);
  const ecdsa = signatureAlgorithm("P-256", "SHA-256");
  publicKeyOf(ecdsa.key);
  const signature = signatureOf(ecdsa);
  const verdict = await verifySignature(ecdsa, rsa, DATA, signature, "der").catch(() => false);
  assert.equal(verdict, false);
});
