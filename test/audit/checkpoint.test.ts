import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { signCheckpoint, verifyCheckpoint } from "../../lib/audit/checkpoint.ts";
import type { CheckpointEntry, Statement } from "../../lib/audit/record.ts";
import { ALL_ALGORITHMS } from "../support/algorithms.ts";
import { fileWith, printed } from "../support/programs.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { softwareCheckpointSigner, trailStage } from "../support/trail.ts";

const POSITION = { trail: "5685323a-7da4-4562-8563-b015c4ade1d4", n: 7, hash: "ab".repeat(32) };
const signer = await softwareCheckpointSigner();
const good = await signCheckpoint(signer, POSITION, "interval", new Date());

for (const algorithm of ALL_ALGORITHMS) {
  const { key, scheme, hash } = algorithm;
  test(`OpenSSL verifies the signature over the statement: ${key.name} ${scheme} ${hash.name}`, async () => {
    const own = await softwareCheckpointSigner(algorithm);
    const entry = await signCheckpoint(own, POSITION, "stop", new Date());
    await verifyCheckpoint(entry);
    const der = Buffer.from(entry.certificates[0] ?? "", "base64");
    const publicKey = printed(der, "openssl", "x509", "-inform", "DER", "-in", "FILE", "-noout", "-pubkey");
    const pss = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", `rsa_pss_saltlen:${hash.length}`];
    const said = printed(
      JSON.stringify(entry.statement),
      "openssl",
      "dgst",
      `-${hash.nodeName}`,
      ...["-verify", fileWith(publicKey), "-signature", fileWith(Buffer.from(entry.signature, "base64"))],
      ...(scheme === "PSS" ? pss : []),
      "FILE",
    );
    assert.match(said, /Verified OK/);
  });
}

test("coreutils and OpenSSL alone find in a file what a checkpoint says, as the README has it", async () => {
  const stage = trailStage(signer);
  const trail = await stage.open();
  await trail.close(10_000);
  const directory = temporaryDirectory();
  // The lines of README.md, "An audit trail"; $FILE and $DIR come from here.
  const script = `
    cd "$DIR"
    grep '"type":"checkpoint"' "$FILE" | tail -n 1 > checkpoint
    sed -E 's/.*"statement":(\\{[^}]*\\}).*/\\1/' checkpoint | tr -d '\\n' > statement
    sed -E 's/.*"certificates":\\["([^"]*)".*/\\1/' checkpoint | base64 -d > leaf.der
    sed -E 's/.*"signature":"([^"]*)".*/\\1/' checkpoint | base64 -d > signature
    openssl x509 -inform DER -in leaf.der -noout -pubkey > key.pem
    openssl dgst -sha256 -verify key.pem -signature signature statement
    sed -n "$(sed -E 's/.*"n":([0-9]+).*/\\1/' statement)p" "$FILE" | sha256sum
  `;
  const said = printed(script, "env", `FILE=${stage.file}`, `DIR=${directory}`, "sh", "-eu", "FILE");
  assert.match(said, /Verified OK/);
  const { hash }: Statement = JSON.parse(readFileSync(join(directory, "statement"), "utf8"));
  assert.ok(said.includes(hash), said);
});

const otherSigner = await softwareCheckpointSigner();

const FORGED: Readonly<Record<string, [Partial<CheckpointEntry>, RegExp]>> = {
  "another statement": [{ statement: { ...good.statement, n: 8 } }, /signature/],
  "another certificate": [
    { certificates: otherSigner.certificates.map((der) => Buffer.from(der).toString("base64")) },
    /certificates are not those/,
  ],
  "no certificate that is one": [{ certificates: [Buffer.from("x").toString("base64")] }, /certificates/],
  "an algorithm that nobody knows": [
    { statement: { ...good.statement, algorithm: "RSA-1024 PKCS1 SHA-1" } },
    /algorithm/,
  ],
  "an algorithm of another kind of key": [
    { statement: { ...good.statement, algorithm: "RSA-2048 PKCS1 SHA-256" } },
    /signature/,
  ],
  "no signature that is one": [{ signature: Buffer.from("x").toString("base64") }, /signature/],
};

for (const [what, [part, reason]] of Object.entries(FORGED)) {
  test(`a checkpoint with ${what} is refused`, async () => {
    await assert.rejects(verifyCheckpoint({ ...good, ...part }), reason);
  });
}
