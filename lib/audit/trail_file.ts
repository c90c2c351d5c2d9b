import {
  closeSync,
  fdatasync,
  fstatSync,
  ftruncateSync,
  lstatSync,
  openSync,
  realpathSync,
  statSync,
  write,
} from "node:fs";
import { rename, rm } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { messageOf, SignerError } from "../errors.ts";
import { FileLock } from "./file_lock.ts";
import type { TornEntry } from "./record.ts";
import { finishRotation, nameBeside, setAside, syncDirectoryOf, TRAIL_MODE } from "./trail_repair.ts";
import { scanTrail, type TrailScan } from "./trail_scan.ts";

/** What was found when the file was opened. */
export interface OpenedTrailFile {
  readonly file: TrailFile;
  readonly scan: TrailScan;
  /** What was moved aside, where there was something. */
  readonly torn: TornEntry | undefined;
}

const writeSome = promisify(write);
const syncData = promisify(fdatasync);

/** The file that a trail is written to: what is in it is whole lines, and nobody else writes to it. */
export class TrailFile {
  readonly path: string;
  readonly #lock: FileLock;
  #descriptor: number;
  #size: number;
  /** Whether a write that failed may have left something behind the last whole line. */
  #isDirty = false;

  private constructor(path: string, lock: FileLock, descriptor: number, size: number) {
    this.path = path;
    this.#lock = lock;
    this.#descriptor = descriptor;
    this.#size = size;
  }

  /**
   * Locks the file, makes it where it is missing, and moves aside what a crash has left behind its last whole line.
   *
   * @throws SignerError `ERR_AUDIT_UNAVAILABLE`, `ERR_AUDIT_BROKEN`
   */
  static async open(name: string, now: Date): Promise<OpenedTrailFile> {
    let path = resolve(name);
    let lock: FileLock | undefined;
    try {
      // By whatever way the directory is named, the lock is the same.
      path = join(realpathSync(dirname(path)), basename(path));
      lock = await FileLock.acquire(`${path}.lock`);
      if (lock === undefined) throw unavailable(path, "another process writes to it");
      await finishRotation(path);
      // Anything else would wait for a reader, or lead to where another lock is.
      if (lstatSync(path, { throwIfNoEntry: false })?.isFile() === false) {
        throw unavailable(path, "it is there, and no plain file");
      }
      const descriptor = openSync(path, "a", TRAIL_MODE);
      try {
        const scan = await scanTrail(path);
        const torn = await setAside(path, scan.length, now);
        if (torn !== undefined) ftruncateSync(descriptor, scan.length);
        await syncData(descriptor);
        await syncDirectoryOf(path);
        return { file: new TrailFile(path, lock, descriptor, scan.length), scan, torn };
      } catch (error) {
        closeSync(descriptor);
        throw error;
      }
    } catch (error) {
      lock?.release();
      throw error instanceof SignerError ? error : unavailable(path, messageOf(error), error);
    }
  }

  /** In bytes. */
  get size(): number {
    return this.#size;
  }

  /**
   * Hands lines to the operating system: all of them or none.
   *
   * @param isSynced whether they are to be on the disk then
   * @throws Error with the reason
   */
  async append(lines: Buffer, isSynced: boolean): Promise<void> {
    this.#requireOwn();
    try {
      for (let written = 0; written < lines.length; ) {
        const { bytesWritten } = await writeSome(this.#descriptor, lines, written);
        if (bytesWritten === 0) throw new RangeError("the operating system takes nothing");
        written += bytesWritten;
      }
      if (isSynced) await this.sync();
      this.#size += lines.length;
    } catch (error) {
      this.#isDirty = true;
      this.#cutBackQuietly();
      throw error;
    }
  }

  /** Returns when what was appended is on the disk. */
  async sync(): Promise<void> {
    await syncData(this.#descriptor);
  }

  /**
   * Goes on in a new file under the same name; the former one is kept beside it.
   *
   * @param kept the name of the former one
   * @param first the line that the new one begins with
   */
  async rotate(kept: string, first: Buffer): Promise<void> {
    this.#requireOwn();
    await this.sync();
    const next = `${this.path}.next`;
    await rm(next, { force: true });
    const descriptor = openSync(next, "ax", TRAIL_MODE);
    try {
      await writeSome(descriptor, first, 0);
      await syncData(descriptor);
      if (fstatSync(descriptor).size !== first.length) throw new RangeError("it could not be written whole");
      await replace(this.path, next, join(dirname(this.path), kept));
    } catch (error) {
      closeSync(descriptor);
      await rm(next, { force: true });
      throw error;
    }
    closeSync(this.#descriptor);
    this.#descriptor = descriptor;
    this.#size = first.length;
    // Where the names are not on the disk when the machine dies, the next start ends the rotation.
    await syncDirectoryOf(this.path).catch(() => {});
  }

  /** A name for the file when the next one begins. */
  nameToKeep(now: Date): string {
    return nameBeside(this.path, "", now);
  }

  close(): void {
    closeSync(this.#descriptor);
    this.#lock.release();
  }

  /** @throws Error when the file is not as it was left */
  #requireOwn(): void {
    const { ino, dev, size } = fstatSync(this.#descriptor);
    const named = statSync(this.path, { throwIfNoEntry: false });
    if (named?.ino !== ino || named.dev !== dev) {
      throw new RangeError("the file was moved away or deleted by somebody else; restart the service");
    }
    if (size < this.#size) throw new RangeError("the file was cut by somebody else; restart the service");
    if (this.#isDirty) this.#cutBack();
    else if (size > this.#size) throw new RangeError("somebody else writes to the file; restart the service");
  }

  #cutBack(): void {
    ftruncateSync(this.#descriptor, this.#size);
    this.#isDirty = false;
  }

  #cutBackQuietly(): void {
    try {
      this.#cutBack();
    } catch {
      // The error that brought us here is told, and the next attempt begins with this.
    }
  }
}

/** Puts a file in the place of another, which is kept under a third name. */
async function replace(path: string, next: string, kept: string): Promise<void> {
  await rename(path, kept);
  try {
    // A crash before this leaves ".next" without the file itself, which the next start knows how to end.
    await rename(next, path);
  } catch (error) {
    await rename(kept, path);
    throw error;
  }
}

function unavailable(path: string, state: string, cause?: unknown): SignerError {
  return new SignerError(
    "ERR_AUDIT_UNAVAILABLE",
    `Cannot write the audit trail ${path} (AUDIT_FILE): ${state}`,
    {
      cause,
    },
  );
}
