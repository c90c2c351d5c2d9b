import { createHash } from "node:crypto";
import { existsSync, statSync } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { ChainWalk } from "./chain_walk.ts";
import { linesOf } from "./lines.ts";
import type { Position, TornEntry } from "./record.ts";
import { scanTrail } from "./trail_scan.ts";

/** Whoever may read in the directory may read a trail; nobody but its owner writes it. */
export const TRAIL_MODE = 0o640;

const CHUNK = 1024 ** 2;

/**
 * Ends a rotation that a crash has cut short: the new file has not got its name yet. One that does not follow the
 * file that is there was never begun in earnest.
 */
export async function finishRotation(path: string): Promise<void> {
  const next = `${path}.next`;
  if (!existsSync(next)) return;
  if (existsSync(path)) {
    const kept = await nameInFollower(next, (await scanTrail(path)).position);
    if (kept === undefined) return rm(next);
    await rename(path, join(dirname(path), kept));
  }
  await rename(next, path);
  await syncDirectoryOf(path);
}

/** The name that the first record of a file has for the one before it, if that is the one that ended there. */
async function nameInFollower(path: string, position: Position | undefined): Promise<string | undefined> {
  const { value: [first] = [] } = await linesOf(path).next();
  try {
    const record = first === undefined ? undefined : new ChainWalk(position).next(first);
    return record?.type === "begin" ? record.former : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Copies what stands behind the whole records into a file of its own.
 *
 * @param length of the whole records, in bytes
 * @returns `undefined` when there is nothing behind them
 */
export async function setAside(path: string, length: number, now: Date): Promise<TornEntry | undefined> {
  const bytes = statSync(path).size - length;
  if (bytes === 0) return undefined;
  const kept = nameBeside(path, "torn-", now);
  const [source, copy] = [await open(path, "r"), await open(join(dirname(path), kept), "ax", TRAIL_MODE)];
  const hash = createHash("sha256");
  try {
    for (let done = 0; done < bytes; ) {
      const chunk = Buffer.alloc(Math.min(CHUNK, bytes - done));
      const { bytesRead } = await source.read(chunk, 0, chunk.length, length + done);
      if (bytesRead === 0) throw new RangeError("its end cannot be read");
      await copy.appendFile(chunk.subarray(0, bytesRead));
      hash.update(chunk.subarray(0, bytesRead));
      done += bytesRead;
    }
    await copy.datasync();
  } finally {
    await source.close();
    await copy.close();
  }
  return { type: "torn", kept, bytes, sha256: hash.digest("hex") };
}

/** A name that nothing in the directory of a file has yet: the file's own, and the time. */
export function nameBeside(path: string, prefix: string, now: Date): string {
  const stem = `${basename(path)}.${prefix}${now.toISOString().replaceAll(/[-:]|\.\d+/g, "")}`;
  for (let attempt = 1; ; attempt += 1) {
    const name = attempt === 1 ? stem : `${stem}-${attempt}`;
    if (!existsSync(join(dirname(path), name))) return name;
  }
}

/** Sees to it that the names in the directory of a file are on the disk. */
export async function syncDirectoryOf(path: string): Promise<void> {
  const directory = await open(dirname(path), "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
