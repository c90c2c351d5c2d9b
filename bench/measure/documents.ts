import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { closeSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { LargeDocument } from "../jobs/upload.ts";

const MIB = 1_048_576;
/** Divisible by three, so that its base64 stands for itself wherever it comes. */
const BLOCK_BYTES = 3 * MIB;

/** A large document and its file. */
export interface DocumentFile extends LargeDocument {
  readonly path: string;
}

export function documentFile(directory: string, mebibytes: number): DocumentFile {
  const path = join(directory, `document-${mebibytes}`);
  const [block, bytes] = [randomBytes(BLOCK_BYTES), mebibytes * MIB];
  const file = openSync(path, "w");
  for (let left = bytes; left > 0; left -= block.length)
    writeSync(file, block, 0, Math.min(left, block.length));
  closeSync(file);
  return { block, bytes, sha256: opensslDigest(path).sha256, path };
}

/** What `openssl dgst -sha256` makes of a file, and how many bytes a second. */
export function opensslDigest(path: string): { readonly sha256: string; readonly seconds: number } {
  const start = performance.now();
  const output = execFileSync("openssl", ["dgst", "-sha256", "-r", path], { encoding: "utf8" });
  return { sha256: output.slice(0, 64), seconds: (performance.now() - start) / 1_000 };
}
