import assert from "node:assert/strict";
import { createHash, randomBytes, X509Certificate } from "node:crypto";
import { describe, it } from "node:test";
import { verifySignedData } from "../../dev/demo_page/signature.js";
import { type SignatureAlgorithm, signatureAlgorithm } from "../../lib/algorithms.ts";
import { proveChain } from "../../lib/credential/chain.ts";
import { type Credential, proveCredential } from "../../lib/credential/credential.ts";
import { DocumentSigner } from "../../lib/document_signer.ts";
import { webCryptoSigner } from "../../lib/web_crypto_signer.ts";
import { ALL_ALGORITHMS } from "../support/algorithms.ts";
import { intermediateCa, leafOf, PKI_NOW, rootCa } from "../support/pki.ts";
import { SeededRandom } from "../support/seeded_random.ts";
import { softwareCredential, softwareCrypto } from "../support/software.ts";
import { softwareSignature } from "../support/software_signature.ts";

const CONTENT = new Uint8Array(randomBytes(10_000));
const P256 = signatureAlgorithm("P-256", "SHA-256");

async function signWith(credential: Credential, now: Date = new Date()): Promise<Uint8Array<ArrayBuffer>> {
  const { hash } = credential.signer.algorithm;
  const digest = createHash(hash.nodeName).update(CONTENT).digest();
  return new Uint8Array(await new DocumentSigner(credential, () => now).sign(digest));
}

/** A credential of a leaf, an authority below a root, and the root. */
async function chainCredential(): Promise<Credential> {
  const root = await rootCa();
  const ca = await intermediateCa(root);
  const leaf = await leafOf(ca, { subject: "CN=Doe\\, Jane, O=Example Ltd" });
  const signer = webCryptoSigner(softwareCrypto, leaf.keys.privateKey, P256);
  const chain = await proveChain(
    [leaf, ca, root].map(({ der }) => der),
    PKI_NOW,
  );
  return proveCredential("chain", signer, chain, { ...leaf.keys, warnings: [] });
}

const described = ({ key, scheme, hash }: SignatureAlgorithm): string => {
  if (key.kind === "EC") return `ECDSA, ${key.name}, ${hash.name}`;
  return `RSA, ${key.name.slice(4)} bits, ${scheme === "PSS" ? "PSS" : "PKCS#1 v1.5"}, ${hash.name}`;
};

describe("The demo page verifies", () => {
  for (const algorithm of ALL_ALGORITHMS) {
    it(`${algorithm.key.name} ${algorithm.scheme} ${algorithm.hash.name}, and reads the certificate as Node does`, async () => {
      const credential = await softwareCredential(algorithm);
      const container = await signWith(credential);
      // What is left of a placeholder stands behind it.
      const report = await verifySignedData(new Uint8Array([...container, ...new Uint8Array(100)]), CONTENT);
      assert.deepEqual(
        report.checks.filter(({ holds }) => !holds),
        [],
      );
      assert.ok(report.isVerified && report.isSelfSigned);
      assert.equal(report.algorithm, described(algorithm));
      assert.equal(report.containerBytes, container.length);
      const [leaf = new Uint8Array()] = credential.chain.certificates;
      const certificate = new X509Certificate(leaf);
      assert.equal(report.subject, "CN=Software signer, O=Tests");
      assert.equal(report.issuer, report.subject);
      assert.equal(report.fingerprint, certificate.fingerprint256.replaceAll(":", "").toLowerCase());
      assert.equal(
        BigInt(`0x${report.serialNumber.replaceAll(":", "")}`),
        BigInt(`0x${certificate.serialNumber}`),
      );
      assert.equal(report.notBefore.getTime(), Date.parse(certificate.validFrom));
      assert.equal(report.notAfter.getTime(), Date.parse(certificate.validTo));
      assert.ok(report.time !== undefined && Math.abs(report.time.getTime() - Date.now()) < 60_000);
    });
  }

  it("a chain, link by link, without the root that nobody sends", async () => {
    const report = await verifySignedData(await signWith(await chainCredential(), PKI_NOW), CONTENT);
    assert.ok(report.isVerified && !report.isSelfSigned);
    assert.equal(report.checks.length, 5);
    assert.equal(report.certificates, 2);
    assert.equal(report.subject, "O=Example Ltd, CN=Doe\\, Jane");
    assert.equal(report.subjectCalled, "Doe, Jane");
    assert.equal(report.issuer, "CN=Test CA");
    assert.match(report.unchecked[0] ?? "", /^Trust: whether the authority/);
  });
});

describe("The demo page does not take for verified", () => {
  const failed = async (container: Uint8Array<ArrayBuffer>, content: Uint8Array<ArrayBuffer> = CONTENT) => {
    const report = await verifySignedData(container, content);
    assert.ok(!report.isVerified);
    return report.checks.flatMap(({ holds }, index) => (holds ? [] : [index]));
  };

  it("a signature over other bytes", async () => {
    const container = await signWith(await softwareCredential(P256));
    assert.deepEqual(await failed(container, CONTENT.with(5_000, (CONTENT[5_000] ?? 0) ^ 1)), [0]);
    assert.deepEqual(await failed(container, CONTENT.slice(1)), [0]);
    assert.deepEqual(await failed(container, new Uint8Array()), [0]);
  });

  it("a signature of another key", async () => {
    const container = await signWith(await softwareCredential(P256));
    const last = container.length - 1;
    assert.deepEqual(await failed(container.with(last, (container[last] ?? 0) ^ 1)), [1]);
  });

  it("a signature that names no certificate, such as a plain one of OpenSSL's", async () => {
    assert.deepEqual(await failed(new Uint8Array(softwareSignature(CONTENT))), [2]);
  });

  it("a signature made when the certificate was not valid", async () => {
    const credential = await softwareCredential(P256, new Date(Date.now() - 10 * 86_400_000));
    const early = new Date(Date.now() - 20 * 86_400_000);
    assert.deepEqual(await failed(await signWith(credential, early)), [3]);
  });

  it("any change to the signature or to the certificate", async () => {
    const credential = await softwareCredential(P256);
    const container = await signWith(credential);
    const [leaf = new Uint8Array()] = credential.chain.certificates;
    const start = Buffer.from(container).indexOf(leaf);
    const random = new SeededRandom(11);
    for (let round = 0; round < 300; round += 1) {
      // A byte of the certificate, or of the signature, which is the end.
      const at = random.isLucky(0.5)
        ? start + random.below(leaf.length)
        : container.length - 1 - random.below(60);
      const changed = container.with(at, (container[at] ?? 0) ^ (1 + random.below(255)));
      const report = await verifySignedData(changed, CONTENT).catch(() => undefined);
      assert.ok(!report?.isVerified, `byte ${at} of ${container.length} may be changed`);
    }
  });

  it("bytes that are no container, of which it says so and does not hang", async () => {
    const container = await signWith(await softwareCredential(P256));
    const random = new SeededRandom(12);
    for (let round = 0; round < 500; round += 1) {
      const bytes = random.isLucky(0.3) ? new Uint8Array(random.bytes(random.below(300))) : container.slice();
      for (let count = random.below(4); count > 0 && bytes.length > 0; count -= 1) {
        bytes[random.below(bytes.length)] = random.below(256);
      }
      await verifySignedData(bytes.slice(0, random.below(bytes.length + 1)), CONTENT).catch(
        (error: unknown) => {
          assert.ok(error instanceof Error);
        },
      );
    }
  });
});
