import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "./temporary.ts";

/** A detached SignedData of OpenSSL's, with a key of this test's own. */
export function softwareSignature(content: Uint8Array): Buffer {
  const directory = temporaryDirectory();
  const [key, certificate, file] = ["key.pem", "certificate.pem", "content"].map((name) =>
    join(directory, name),
  );
  assert.ok(key && certificate && file);
  const openssl = (...args: string[]): Buffer =>
    execFileSync("openssl", args, { stdio: ["ignore", "pipe", "ignore"] });
  const [pair, subject] = [
    ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key],
    ["-subj", "/CN=Sample signer"],
  ];
  openssl("req", "-x509", ...pair, ...subject, "-days", "2", "-out", certificate);
  writeFileSync(file, content);
  const signer = ["-signer", certificate, "-inkey", key];
  return openssl("cms", "-sign", "-binary", "-outform", "DER", "-md", "sha256", ...signer, "-in", file);
}
