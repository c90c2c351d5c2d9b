import { SignerError } from "../errors.ts";
import { BrokenRecordError, ChainWalk } from "./chain_walk.ts";
import { type Line, linesOf } from "./lines.ts";
import { type Position, parseRecord } from "./record.ts";

/** What a service finds in the file that it is to go on with. */
export interface TrailScan {
  /** Behind the last whole record; `undefined` where there is none. */
  readonly position: Position | undefined;
  /** Number of the file's first record. */
  readonly first: number | undefined;
  /** Where the whole records end, in bytes. */
  readonly length: number;
}

/**
 * Follows a file from its beginning to its last whole record. What a crash has left behind that is no record; where
 * something behind it is one, it was no crash, and nothing is touched.
 *
 * @throws SignerError `ERR_AUDIT_BROKEN`; Error when the file cannot be read
 */
export async function scanTrail(path: string): Promise<TrailScan> {
  const walk = new ChainWalk();
  let first: number | undefined;
  let length = 0;
  let fault: BrokenRecordError | undefined;
  for await (const lines of linesOf(path)) {
    for (const line of lines) {
      try {
        if (fault === undefined) {
          const { n } = walk.next(line);
          first ??= n;
          length = line.offset + line.bytes.length;
        }
      } catch (error) {
        if (!(error instanceof BrokenRecordError)) throw error;
        fault = error;
      }
      if (fault !== undefined && isRecord(line)) throw broken(path, fault);
    }
  }
  return { position: walk.position, first, length };
}

function isRecord({ bytes, isWhole }: Line): boolean {
  if (!isWhole) return false;
  try {
    parseRecord(bytes);
    return true;
  } catch {
    return false;
  }
}

function broken(path: string, { line, reason }: BrokenRecordError): SignerError {
  return new SignerError(
    "ERR_AUDIT_BROKEN",
    `Cannot go on with the audit trail ${path} (AUDIT_FILE): line ${line}: ${reason}. Keep the file as it is for ` +
      "whoever looks into this, and name another one",
  );
}
