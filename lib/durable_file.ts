import { closeSync, fchmodSync, fsyncSync, linkSync, openSync, rmSync, writeFileSync } from "node:fs";

/** Writes a new file, and sees to it that it is on the disk; readable by everybody, whatever the umask. */
export function writeDurably(path: string, text: string): void {
  const file = openSync(path, "wx", 0o644);
  try {
    writeFileSync(file, text);
    fchmodSync(file, 0o644);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** `force` forgives a missing file, but not a missing or closed directory; what went wrong there was said. */
export function removeQuietly(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {}
}

/**
 * A link, unlike a renaming, never takes the place of what is there.
 *
 * @returns whether it was made
 */
export function linkIfAbsent(file: string, path: string): boolean {
  try {
    linkSync(file, path);
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
    throw error;
  }
}

/** Sees to it that the names in a directory are on the disk. */
export function syncDirectory(path: string): void {
  const directory = openSync(path, "r");
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}
