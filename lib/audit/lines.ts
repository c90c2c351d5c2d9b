import { type FileHandle, open } from "node:fs/promises";

/** A line of a file. */
export interface Line {
  /** With its line feed, where it has one. */
  readonly bytes: Buffer;
  /** Where it begins. */
  readonly offset: number;
  /** Whether a line feed ends it: the last line of a file may lack one. */
  readonly isWhole: boolean;
}

/** Bytes that are read at once. */
const CHUNK = 1024 ** 2;
/** Longer than any record; what has no line feed for so long is no text. */
const MAX_LINE = 16 * CHUNK;
const LINE_FEED = 0x0a;

/**
 * The lines of a file, some at a time: nothing blocks for long, and nothing is held that is not looked at.
 *
 * @throws Error when it cannot be read
 */
export async function* linesOf(path: string): AsyncGenerator<readonly Line[]> {
  const file = await open(path, "r");
  try {
    yield* linesIn(file);
  } finally {
    await file.close();
  }
}

async function* linesIn(file: FileHandle): AsyncGenerator<readonly Line[]> {
  let rest: Buffer = Buffer.alloc(0);
  let offset = 0;
  for (;;) {
    const chunk = Buffer.allocUnsafe(CHUNK);
    const { bytesRead } = await file.read(chunk, 0, CHUNK);
    if (bytesRead === 0) break;
    rest = Buffer.concat([rest, chunk.subarray(0, bytesRead)]);
    const lines: Line[] = [];
    let start = 0;
    for (let end = rest.indexOf(LINE_FEED); end !== -1; end = rest.indexOf(LINE_FEED, start)) {
      lines.push({ bytes: rest.subarray(start, end + 1), offset: offset + start, isWhole: true });
      start = end + 1;
    }
    rest = rest.subarray(start);
    offset += start;
    if (rest.length > MAX_LINE) break;
    yield lines;
  }
  if (rest.length > 0) yield [{ bytes: rest, offset, isWhole: false }];
}
