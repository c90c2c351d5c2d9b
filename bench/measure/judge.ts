import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

/** A document, or the path of its file, and the answer to the request that was sent for it. */
export interface Sample {
  readonly document: Uint8Array | string;
  readonly answer: string;
}

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
  const path = (name: string): string => join(directory, name);
  writeFileSync(path("trusted.pem"), certificatePem);
  for (const { document, answer } of samples) {
    const { p7 }: { p7?: unknown } = JSON.parse(answer);
    if (typeof document !== "string") writeFileSync(path("content"), document);
    writeFileSync(path("p7.der"), Buffer.from(String(p7), "base64"));
    const content = typeof document === "string" ? document : path("content");
    const input = ["-inform", "DER", "-in", path("p7.der"), "-content", content];
    const trust = ["-CAfile", path("trusted.pem"), "-purpose", "any"];
    // Its output is the content; its exit code is the verdict.
    execFileSync("openssl", ["cms", "-verify", "-binary", ...input, ...trust, "-out", "/dev/null"], {
      stdio: "pipe",
    });
  }
}
