import assert from "node:assert/strict";
import { test } from "node:test";
import { ChainFile } from "../../lib/credential/chain_file.ts";
import { type CertificateReport, describeChain } from "../../lib/credential/credential_report.ts";
import { createSelfSigned } from "../../lib/credential/self_signed.ts";
import { ALL_ALGORITHMS } from "../support/algorithms.ts";
import {
  daysFromNow,
  intermediateCa,
  leafOf,
  PKI_NOW,
  rootCa,
  selfSignedLeaf,
  type TestCertificate,
} from "../support/pki.ts";
import { printed } from "../support/programs.ts";
import { softwareCrypto, softwareKeyPair } from "../support/software.ts";

const root = await rootCa({ subject: "C=DE, O=Tests, CN=Root" });
const intermediate = await intermediateCa(root, { keyType: "RSA-2048", days: [-10, 100] });
const leaf = await leafOf(intermediate, { days: [-10, 20], keyType: "P-521" });
const DAY_MS = 86_400_000;

const ders = (...certificates: readonly TestCertificate[]): Uint8Array[] =>
  certificates.map(({ der }) => der);

async function reportOf(der: Uint8Array, now: Date = PKI_NOW): Promise<CertificateReport> {
  const [report, ...more] = (await describeChain([der], now)).certificates;
  assert.ok(report !== undefined && more.length === 0);
  return report;
}

test("a chain is described certificate by certificate, with what the proof thinks of it", async () => {
  const { certificates, proof } = await describeChain(ders(leaf, intermediate, root), PKI_NOW);
  assert.deepEqual(proof, { isProven: true });
  const shared = { notBefore: daysFromNow(-10).toISOString() };
  const described = certificates.map(({ serialNumber, fingerprint, ...others }) => {
    assert.match(serialNumber, /^[\dA-F]+$/);
    assert.match(fingerprint, /^([\dA-F]{2}:){31}[\dA-F]{2}$/);
    return others;
  });
  assert.deepEqual(described, [
    {
      ...shared,
      subject: "CN=Test Leaf",
      issuer: "CN=Test CA",
      notAfter: daysFromNow(20).toISOString(),
      daysLeft: 20,
      signatureAlgorithm: "RSASSA-PKCS1-v1_5 SHA-256",
      publicKey: "P-521",
      isSelfSigned: false,
    },
    {
      ...shared,
      subject: "CN=Test CA",
      issuer: "CN=Root, O=Tests, C=DE",
      notAfter: daysFromNow(100).toISOString(),
      daysLeft: 100,
      signatureAlgorithm: "ECDSA SHA-256",
      publicKey: "RSA-2048",
      isSelfSigned: false,
    },
    {
      subject: "CN=Root, O=Tests, C=DE",
      issuer: "CN=Root, O=Tests, C=DE",
      notBefore: daysFromNow(-30).toISOString(),
      notAfter: daysFromNow(365).toISOString(),
      daysLeft: 365,
      signatureAlgorithm: "ECDSA SHA-256",
      publicKey: "P-256",
      isSelfSigned: true,
    },
  ]);
});

test("the report is the same after a way through JSON", async () => {
  const report = await describeChain(ders(leaf, intermediate), PKI_NOW);
  assert.deepEqual(JSON.parse(JSON.stringify(report)), report);
});

for (const algorithm of ALL_ALGORITHMS) {
  const { key, scheme, hash } = algorithm;
  test(`OpenSSL says the same of a certificate with ${key.name} ${scheme} ${hash.name}`, async () => {
    const keys = await softwareKeyPair(algorithm);
    const subject = "CN=Müller\\, Söhne, OU=Desk, O=Tests, C=AT";
    const der = await createSelfSigned({
      crypto: softwareCrypto,
      keys,
      algorithm,
      subject,
      days: 30,
      now: PKI_NOW,
    });
    const report = await reportOf(der);
    const names = { PKCS1: "RSASSA-PKCS1-v1_5", PSS: "RSA-PSS", ECDSA: "ECDSA" };
    assert.equal(report.signatureAlgorithm, `${names[scheme]} ${hash.name}`);
    assert.equal(report.publicKey, key.name);
    assert.equal(report.isSelfSigned, true);
    const options = ["-serial", "-fingerprint", "-sha256", "-subject", "-issuer", "-enddate"];
    const format = [
      "-nameopt",
      "utf8,esc_2253,esc_ctrl,sep_comma_plus_space,sname,dn_rev",
      "-dateopt",
      "iso_8601",
    ];
    const text = printed(
      ChainFile.toPem([der]),
      "openssl",
      "x509",
      "-in",
      "FILE",
      "-noout",
      ...options,
      ...format,
    );
    const name = report.subject;
    assert.equal(
      text,
      `serial=${report.serialNumber}\nsha256 Fingerprint=${report.fingerprint}\nsubject=${name}\nissuer=${name}\n` +
        `notAfter=${report.notAfter.replace("T", " ").replace(".000", "")}\n`,
    );
  });
}

test("days left are whole ones: 0 on the last day, negative as soon as it is over", async () => {
  const { der } = await selfSignedLeaf({ days: [-10, 0] });
  const at = async (milliseconds: number): Promise<number> =>
    (await reportOf(der, new Date(PKI_NOW.getTime() + milliseconds))).daysLeft;
  assert.deepEqual(
    await Promise.all(
      [-2 * DAY_MS, -2 * DAY_MS + 1, -DAY_MS, -DAY_MS + 1, -1, 0, 1, DAY_MS, DAY_MS + 1].map(at),
    ),
    [2, 1, 1, 0, 0, 0, -1, -1, -2],
  );
});

test("a certificate whose name is its issuer's, and whose signature is not its own, is not self-signed", async () => {
  const impostor = await leafOf(root, { subject: root.subject });
  assert.equal((await reportOf(impostor.der)).isSelfSigned, false);
});

test("other keys and signatures are named as far as they have names", async () => {
  const ed25519 = await reportOf((await rootCa({ keyType: "Ed25519" })).der);
  assert.deepEqual([ed25519.publicKey, ed25519.signatureAlgorithm], ["ED25519", "Ed25519"]);
  const weak = await reportOf((await rootCa({ keyType: "RSA-1024", hash: "SHA-1" })).der);
  assert.deepEqual([weak.publicKey, weak.signatureAlgorithm], ["RSA-1024", "RSASSA-PKCS1-v1_5 SHA-1"]);
  const hex = Buffer.from((await selfSignedLeaf()).der).toString("hex");
  const unknown = await reportOf(
    Buffer.from(
      hex
        .replaceAll("06072a8648ce3d0201", "06072a8648ce3d027f")
        .replaceAll("2a8648ce3d040302", "2a8648ce3d04037f"),
      "hex",
    ),
  );
  assert.deepEqual([unknown.publicKey, unknown.signatureAlgorithm], ["unknown", "1.2.840.10045.4.3.127"]);
});

test("a name cannot steer the terminal, and a missing one is empty", async () => {
  const evil = await selfSignedLeaf({ subject: "CN=a\u001b[2J\u202e\u200b\u009b\\0ab" });
  assert.equal((await reportOf(evil.der)).subject, "CN=a\\1B[2J\\e2\\80\\ae\\e2\\80\\8b\\c2\\9b\\0Ab");
  assert.equal((await reportOf((await selfSignedLeaf({ subject: "" })).der)).subject, "");
});

// Chains that do not prove.

test("what is wrong with a chain is said with the code of the proof, and the rest is described all the same", async () => {
  for (const [certificates, now, code] of [
    [[leaf, intermediate], daysFromNow(21), "ERR_CERTIFICATE_EXPIRED"],
    [[leaf, intermediate], daysFromNow(-11), "ERR_CERTIFICATE_NOT_YET_VALID"],
    [[leaf, root], PKI_NOW, "ERR_CERTIFICATE_CHAIN"],
    [[root], PKI_NOW, "ERR_CERTIFICATE_USAGE"],
  ] as const) {
    const { proof, certificates: described } = await describeChain(ders(...certificates), now);
    assert.ok(!proof.isProven);
    assert.equal(proof.code, code);
    assert.match(proof.message, /^Cannot sign with the certificate "CN=/);
    assert.equal(described.length, certificates.length);
  }
});

test("certificates that cannot be read are not described, and the proof says so", async () => {
  for (const broken of [
    new Uint8Array(),
    new Uint8Array(100),
    leaf.der.subarray(0, -1),
    Buffer.concat([leaf.der, leaf.der]),
  ]) {
    const { proof, certificates } = await describeChain([leaf.der, broken], PKI_NOW);
    assert.deepEqual(
      certificates.map(({ subject }) => subject),
      ["CN=Test Leaf"],
    );
    assert.ok(!proof.isProven && proof.code === "ERR_CERTIFICATE_MALFORMED");
  }
  const none = await describeChain([], PKI_NOW);
  assert.deepEqual(none.certificates, []);
  assert.ok(!none.proof.isProven && none.proof.code === "ERR_CERTIFICATE_MALFORMED");
});
