import { PemConverter } from "./x509.ts";

/** One block of a PEM text, its contents not yet looked at. */
export interface PemBlock {
  /** What stands after BEGIN: `CERTIFICATE`. */
  readonly label: string;
  readonly body: string;
}

const BOUNDARY = /^-----(BEGIN|END) ([^-]+)-----$/;
const MISSHAPEN_BOUNDARY = /^-{2,}\s*(BEGIN|END)\b/i;

/** Whether the text has the boundary of a private key, of any kind and in any state. */
export function holdsPrivateKey(text: string): boolean {
  return /-BEGIN [^-]*PRIVATE KEY/.test(text);
}

/**
 * The blocks of a PEM text (RFC 7468). As OpenSSL does, it takes any line end, and passes over text outside
 * of the blocks; but it loses no block: a chain that comes out shorter than its file is a chain that readers
 * cannot build, and nobody is told why.
 *
 * @throws RangeError with the line that is wrong
 */
export function pemBlocks(text: string): PemBlock[] {
  const blocks: PemBlock[] = [];
  let open: { readonly label: string; readonly lines: string[] } | undefined;
  for (const [index, raw] of text.split(/\r\n|\n|\r/).entries()) {
    // Also takes away a byte order mark, which Windows puts before the first line.
    const line = raw.trim();
    const [, kind, label = ""] = BOUNDARY.exec(line) ?? [];
    if (kind === "BEGIN" && open === undefined) {
      open = { label, lines: [] };
    } else if (kind === "END" && open?.label === label) {
      blocks.push({ label, body: open.lines.join("\n") });
      open = undefined;
    } else if (kind !== undefined || MISSHAPEN_BOUNDARY.test(line)) {
      throw new RangeError(`line ${index + 1} is out of place`);
    } else {
      open?.lines.push(line);
    }
  }
  if (open !== undefined) throw new RangeError(`a ${open.label} has no end`);
  return blocks;
}

/**
 * The bytes of a block.
 *
 * @throws RangeError when the body is anything else than base64 (RFC 4648 §4)
 */
export function pemBytes({ body, label }: PemBlock): Uint8Array {
  const base64 = body.replaceAll(/\s/g, "");
  const isBase64 = base64.length % 4 === 0 && /^[A-Za-z0-9+/]+={0,2}$/.test(base64);
  if (!isBase64) throw new RangeError(`a ${label} in it is not base64`);
  return new Uint8Array(Buffer.from(base64, "base64"));
}

/** The bytes as a block with a line end after it (RFC 7468 §3, the strict form). */
export function pemText(label: string, der: Uint8Array): string {
  return `${PemConverter.encode(der as Uint8Array<ArrayBuffer>, label)}\n`;
}
