import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { signatureAlgorithm } from "../../lib/algorithms.ts";
import type { CheckpointSigner } from "../../lib/audit/checkpoint.ts";
import { distrust } from "../../lib/commands/audit_trust.ts";
import { EXIT } from "../../lib/exit_codes.ts";
import { webCryptoSigner } from "../../lib/web_crypto_signer.ts";
import { type CommandResult, runCommand } from "../support/command.ts";
import {
  daysFromNow,
  intermediateCa,
  leafOf,
  PKI_NOW,
  pemOf,
  rootCa,
  selfSignedLeaf,
  type TestCertificate,
} from "../support/pki.ts";
import { fileWith } from "../support/programs.ts";
import { softwareCrypto } from "../support/software.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { signatureFacts, trailStage } from "../support/trail.ts";

const root = await rootCa();
const issuer = await intermediateCa(root);
const leaf = await leafOf(issuer);
const stranger = await selfSignedLeaf();

function signerWith(certificate: TestCertificate, ...others: readonly TestCertificate[]): CheckpointSigner {
  const algorithm = signatureAlgorithm("P-256", "SHA-256");
  return {
    credential: "invoices",
    signer: webCryptoSigner(softwareCrypto, certificate.keys.privateKey, algorithm),
    certificates: [certificate, ...others].map(({ der }) => der),
  };
}

/** A trail of six records, the last one a checkpoint. */
async function writeTrail(signer: CheckpointSigner): Promise<{ file: string; last: string }> {
  const stage = trailStage(signer, () => PKI_NOW);
  const trail = await stage.open();
  await trail.checkpoint("start");
  for (let number = 0; number < 3; number += 1) await trail.record(signatureFacts(number), Buffer.from("x"));
  await trail.close(10_000);
  return { file: stage.file, last: trail.state.checkpoint?.hash ?? "" };
}

const { file, last } = await writeTrail(signerWith(leaf, issuer));
const verify = (...args: readonly string[]): Promise<CommandResult> =>
  runCommand(["audit", "verify", ...args]);

describe("hsm-signer audit verify", () => {
  test("says what there is, up to where it is signed, and what it cannot know; without any configuration", async () => {
    const { code, stdout, stderr } = await verify(file);
    assert.equal(code, EXIT.ok);
    assert.equal(stderr, "");
    for (const pattern of [
      /records 1 to 6$/m,
      /from its beginning to record 6; 3 of its records are signatures/,
      new RegExp(`has the hash ${last}`),
      /Signed by the token up to record 5 \(checkpoint 6, 2033-.*"invoices", certificate CN=Test Leaf/,
      /compared with nothing: .*--certificate or --ca/,
      /No record is missing, changed or out of its order/,
      /cannot show: compare it with the log \(--expect\)/,
    ]) {
      assert.match(stdout, pattern);
    }
  });

  test("is told by the certificate, or the CA, whose trail it must be, and by a hash how far it goes", async () => {
    const good = ["--certificate", fileWith(pemOf(stranger, leaf)), "--ca", fileWith(pemOf(root))];
    const { code, stdout } = await verify(file, ...good, "--expect", last);
    assert.equal(code, EXIT.ok);
    assert.doesNotMatch(stdout, /compared with nothing|--expect/);
    for (const [args, line, reason] of [
      [["--certificate", fileWith(pemOf(stranger))], "line 2", /none of those of --certificate/],
      [["--ca", fileWith(pemOf(stranger))], "line 2", /no certificate of --ca is above it/],
      [["--expect", "ab".repeat(32)], "", /expected is not there/],
    ] as const) {
      const refused = await verify(file, ...args);
      assert.equal(refused.code, EXIT.failed);
      assert.match(refused.stderr, reason);
      assert.ok(refused.stderr.includes(`${file}${line === "" ? "" : `, ${line}`}: `), refused.stderr);
    }
  });

  test("names the first line that does not fit, says what was proven before it, and exits with 1", async () => {
    const broken = join(temporaryDirectory(), "broken.jsonl");
    writeFileSync(broken, readFileSync(file, "utf8").replace("request-1", "request-7"));
    const { code, stdout, stderr } = await verify(broken);
    assert.equal(code, EXIT.failed);
    assert.match(
      stderr,
      /broken\.jsonl, line 5: it does not carry the hash of line 4: one of the two was changed\./,
    );
    assert.match(stdout, /Signed by the token up to record 1 \(checkpoint 2,/);
    assert.doesNotMatch(stdout, /No record is missing/);
  });

  test("gives all of it as JSON", async () => {
    const good = await verify(file, "--json");
    assert.equal(good.code, EXIT.ok);
    const { proven, ...rest } = JSON.parse(good.stdout);
    assert.deepEqual(
      [rest.isGood, rest.isFromBeginning, rest.signatures, rest.last],
      [true, true, 3, { record: 6, hash: last }],
    );
    assert.deepEqual([proven.record, proven.checkpoint, proven.certificate.subject], [5, 6, "CN=Test Leaf"]);
    const torn = fileWith(readFileSync(file).subarray(0, -5));
    const bad = await verify(torn, "--json");
    assert.equal(bad.code, EXIT.failed);
    const { isGood, fault } = JSON.parse(bad.stdout);
    assert.deepEqual([isGood, fault.file, fault.line], [false, torn, 6]);
  });

  test("cannot verify what is not there, nor know what was meant", async () => {
    for (const [args, reason] of [
      [["/nowhere/audit.jsonl"], /There is no file \/nowhere\/audit\.jsonl/],
      [[file, "--expect", "abc"], /--expect must be 64/],
      [[file, "--certificate", "/nowhere/c.pem"], /Cannot read \/nowhere\/c\.pem/],
      [[], /missing required argument 'file'/],
    ] as const) {
      const { code, stderr } = await verify(...args);
      assert.equal(code, EXIT.usage);
      assert.match(stderr, reason);
    }
  });
});

describe("Whether a certificate is the service's", () => {
  const ders = (...certificates: readonly TestCertificate[]): Uint8Array[] =>
    certificates.map(({ der }) => der);

  test("is for a CA above it to say, at the time at which it signed", async () => {
    const verdict = (authorities: readonly Uint8Array[], days: number): Promise<string | undefined> =>
      distrust({ signers: [], authorities }, ders(leaf, issuer), daysFromNow(days));
    assert.equal(await verdict(ders(root), 0), undefined);
    assert.equal(await verdict(ders(stranger, root), 0), undefined);
    assert.equal(await verdict(ders(issuer), 0), undefined, "a CA that is no root will do");
    assert.equal(await verdict(ders(leaf), 0), undefined, "and so will the certificate itself");
    assert.match((await verdict(ders(root), 400)) ?? "", /expired/);
    assert.match((await verdict(ders(stranger), 0)) ?? "", /no certificate of --ca/);
  });

  test("is not for a CA to say that did not issue it", async () => {
    const namesake = await rootCa();
    const forged = await leafOf(root, { signedWith: stranger.keys });
    const trust = { signers: [], authorities: ders(namesake) };
    assert.match((await distrust(trust, ders(leaf, issuer), PKI_NOW)) ?? "", /no certificate of --ca/);
    assert.match(
      (await distrust({ signers: [], authorities: ders(root) }, ders(forged), PKI_NOW)) ?? "",
      /no certificate of --ca/,
    );
    assert.match((await distrust(trust, [], PKI_NOW)) ?? "", /there is none/);
  });
});
