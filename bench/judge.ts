import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Sample } from "./load.ts";

/**
 * Has OpenSSL verify the answers of a sample, each over the document that it was asked for.
 *
 * @param directory for its files
 * @param certificatePem what the service presents, trusted here
 * @throws Error when there is no sample, or one that OpenSSL does not accept
 */
export function requireValidSamples(
  samples: readonly Sample[],
  certificatePem: string,
  directory: string,
): void {
  if (samples.length === 0) throw new Error("Cannot count these answers: none was kept for a look");
  const [trusted, content, container] = ["trusted.pem", "content", "p7.der"].map((name) =>
    join(directory, name),
  ) as [string, string, string];
  writeFileSync(trusted, certificatePem);
  for (const { document, answer } of samples) {
    const { p7 }: { p7?: unknown } = JSON.parse(answer);
    writeFileSync(content, document);
    writeFileSync(container, Buffer.from(String(p7), "base64"));
    const input = ["-inform", "DER", "-in", container, "-content", content];
    const trust = ["-CAfile", trusted, "-purpose", "any"];
    // Its output is the content; its exit code is the verdict.
    execFileSync("openssl", ["cms", "-verify", "-binary", ...input, ...trust, "-out", "/dev/null"], {
      stdio: "pipe",
    });
  }
}
