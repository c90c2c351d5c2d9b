import { createHash } from "node:crypto";

/** Offset and length of the bytes before the placeholder, offset and length of those after it. */
export type ByteRange = [number, number, number, number];

/** A PDF that waits for its signature: ISO 32000-1 §12.8.1, with /ByteRange final and /Contents all zeros. */
export interface PreparedPdf {
  /** The whole file, placeholder included. */
  readonly bytes: Buffer;
  /** /ByteRange as written in the file: everything but the hexadecimal string of /Contents, `<` and `>` included. */
  readonly byteRange: ByteRange;
  /** The two segments of the byte range, joined: what is hashed (§12.8.3.3.1) and sent as `encodedContents`. */
  readonly signedBytes: Buffer;
}

export interface PreparePdfOptions {
  /** How long a DER SignedData may be, in bytes; twice as many hexadecimal digits are reserved. */
  readonly placeholderBytes?: number;
  /** Makes the file longer by a stream of so many bytes that nothing shows; 0 for none. */
  readonly paddingBytes?: number;
  /** For /M and /CreationDate; the file is a function of these options. */
  readonly now?: Date;
}

/** What the Web SDK reserves when it is not told otherwise. */
const WEB_SDK_PLACEHOLDER_BYTES = 16_385;
/** An xref entry has ten digits for an offset (§7.5.4); /ByteRange gets as many, so that filling it moves nothing. */
const OFFSET_DIGITS = 10;
const BYTE_RANGE_WIDTH = 4 * (OFFSET_DIGITS + 1);
/** Where `objects` puts the document information dictionary (§14.3.3). */
const INFORMATION_OBJECT = 10;
/** Left, bottom, right, top, in points. */
const FIELD_RECTANGLE = [72, 505, 312, 565];

/**
 * Makes a one-page PDF 1.7 with one signature field, prepared as the Web SDK prepares a document for signing:
 * an AcroForm with SignaturesExist and AppendOnly (ISO 32000-1 §12.7.2, table 219), a widget that is its own
 * /Sig field (§12.7.4.5), and a signature dictionary (§12.8.1, table 252) with /SubFilter
 * /adbe.pkcs7.detached, whose /Contents is the placeholder.
 *
 * @throws RangeError when a size is not a whole number, or there is no placeholder
 */
export function preparePdf({
  placeholderBytes = WEB_SDK_PLACEHOLDER_BYTES,
  paddingBytes = 0,
  now = new Date(),
}: PreparePdfOptions = {}): PreparedPdf {
  if (!Number.isSafeInteger(placeholderBytes) || placeholderBytes < 1) {
    throw new RangeError(`Cannot reserve a placeholder of ${placeholderBytes} bytes`);
  }
  if (!Number.isSafeInteger(paddingBytes) || paddingBytes < 0) {
    throw new RangeError(`Cannot add ${paddingBytes} bytes of padding`);
  }
  const bytes = writeFile(objects(placeholderBytes, paddingBytes, pdfDate(now)));
  const byteRange = fillByteRange(bytes, placeholderBytes);
  return { bytes, byteRange, signedBytes: segments(bytes, byteRange) };
}

/**
 * The signed file: the SignedData as the hexadecimal string of /Contents, the rest of the placeholder zeros
 * (ISO 32000-1 §12.8.1, table 252, Contents). The prepared file is left as it is.
 *
 * @param der the SignedData, DER
 * @throws RangeError when it is longer than the placeholder
 */
export function embedSignature(prepared: PreparedPdf, der: Uint8Array): Buffer {
  const [, placeholderStart, placeholderEnd] = prepared.byteRange;
  const capacity = (placeholderEnd - placeholderStart - 2) / 2;
  if (der.length > capacity) {
    throw new RangeError(
      `Cannot embed a signature of ${der.length} bytes: the placeholder holds ${capacity}`,
    );
  }
  const signed = Buffer.from(prepared.bytes);
  signed.write(Buffer.from(der).toString("hex"), placeholderStart + 1, "latin1");
  return signed;
}

/** The indirect objects, the first one number 1, in the order of the references among them. */
function objects(placeholderBytes: number, paddingBytes: number, date: string): Buffer[] {
  const texts = [
    "<< /Type /Catalog /Pages 2 0 R /AcroForm << /Fields [7 0 R] /SigFlags 3 >> >>",
    "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
    "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Annots [7 0 R]\n" +
      "   /Resources << /Font << /Text 5 0 R /Head 6 0 R >> >> >>",
    stream("", Buffer.from(pageContent(), "latin1")),
    font("Helvetica"),
    font("Helvetica-Bold"),
    `<< /Type /Annot /Subtype /Widget /FT /Sig /T (Signature1) /F 132 /Rect [${FIELD_RECTANGLE.join(" ")}]\n` +
      "   /P 3 0 R /V 8 0 R /AP << /N 9 0 R >> >>",
    signatureDictionary(placeholderBytes, date),
    appearance(),
    `<< /Title (A sample agreement) /Producer (hsm-signer) /CreationDate (${date}) >>`,
    ...(paddingBytes > 0 ? [stream("", Buffer.alloc(paddingBytes, "padding "))] : []),
  ];
  return texts.map((text) => (typeof text === "string" ? Buffer.from(text, "latin1") : text));
}

function signatureDictionary(placeholderBytes: number, date: string): string {
  return (
    "<< /Type /Sig /Filter /Adobe.PPKLite /SubFilter /adbe.pkcs7.detached\n" +
    `   /M (${date}) /Reason (I agree)\n` +
    `   /ByteRange [${" ".repeat(BYTE_RANGE_WIDTH)}]\n` +
    `   /Contents <${"0".repeat(2 * placeholderBytes)}> >>`
  );
}

function font(name: string): string {
  return `<< /Type /Font /Subtype /Type1 /BaseFont /${name} /Encoding /WinAnsiEncoding >>`;
}

/** The page: operators of ISO 32000-1 §8 and §9, in points from the lower left corner of an A4 sheet. */
function pageContent(): string {
  const lines = [
    "This page was made to be signed. Its signature is a detached CMS SignedData",
    "over every byte of this file except the signature itself.",
    "",
    "The private key that makes it stays in the hardware security module (here:",
    "in SoftHSM2, its stand-in on a developer's machine). Only a digest goes in,",
    "and only a signature comes out.",
  ];
  return [
    "0.13 0.30 0.53 rg 0 812 595 30 re f",
    "BT 0.13 0.13 0.15 rg /Head 24 Tf 72 740 Td (A sample agreement) Tj ET",
    "BT /Text 12 Tf 17 TL 72 710 Td",
    ...lines.map((line) => `(${line.replace(/[\\()]/g, "\\$&")}) Tj T*`),
    "ET",
    "0.45 G 0.75 w 72 495 m 312 495 l S",
    "BT 0.45 g /Text 9 Tf 72 482 Td (Signature) Tj ET",
  ].join("\n");
}

/** What the signature field looks like; it names no signer, since the signature is made after it. */
function appearance(): Buffer {
  const [left = 0, bottom = 0, right = 0, top = 0] = FIELD_RECTANGLE;
  const [width, height] = [right - left, top - bottom];
  const content = [
    `0.94 0.96 0.99 rg 0.13 0.30 0.53 RG 0.75 w 0.5 0.5 ${width - 1} ${height - 1} re B`,
    "BT 0.13 0.30 0.53 rg /Head 12 Tf 14 34 Td (Digitally signed) Tj ET",
    "BT 0.13 0.30 0.53 rg /Text 9 Tf 14 18 Td (See the signature panel for the signer) Tj ET",
  ].join("\n");
  const entries =
    `/Type /XObject /Subtype /Form /BBox [0 0 ${width} ${height}] ` +
    "/Resources << /Font << /Text 5 0 R /Head 6 0 R >> >> ";
  return stream(entries, Buffer.from(content, "latin1"));
}

function stream(entries: string, data: Buffer): Buffer {
  return Buffer.concat([
    Buffer.from(`<< ${entries}/Length ${data.length} >>\nstream\n`, "latin1"),
    data,
    Buffer.from("\nendstream", "latin1"),
  ]);
}

/** Header, body, cross-reference table and trailer: ISO 32000-1 §7.5. */
function writeFile(bodies: readonly Buffer[]): Buffer {
  // Four bytes above 127 in a comment tell transfer programs that the file is binary (§7.5.2).
  const parts: Buffer[] = [Buffer.from("%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "latin1")];
  let length = parts[0]?.length ?? 0;
  const add = (part: Buffer): void => {
    parts.push(part);
    length += part.length;
  };
  const entries = ["0000000000 65535 f \n"];
  for (const [index, body] of bodies.entries()) {
    entries.push(`${String(length).padStart(OFFSET_DIGITS, "0")} 00000 n \n`);
    add(Buffer.from(`${index + 1} 0 obj\n`));
    add(body);
    add(Buffer.from("\nendobj\n"));
  }
  const id = fileIdentifier(parts);
  const xref = `xref\n0 ${entries.length}\n${entries.join("")}`;
  const trailer = `<< /Size ${entries.length} /Root 1 0 R /Info ${INFORMATION_OBJECT} 0 R /ID [<${id}> <${id}>] >>`;
  add(Buffer.from(`${xref}trailer\n${trailer}\nstartxref\n${length}\n%%EOF\n`));
  return Buffer.concat(parts);
}

/** §14.4 asks for something that tells one file from another, such as a digest of what is in it. */
function fileIdentifier(parts: readonly Buffer[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest("hex").slice(0, 32);
}

/** Writes /ByteRange into the room that was left for it. */
function fillByteRange(bytes: Buffer, placeholderBytes: number): ByteRange {
  const key = bytes.indexOf("/ByteRange [");
  const start = bytes.indexOf("/Contents <", key) + "/Contents ".length;
  const end = start + 2 * placeholderBytes + 2;
  const byteRange: ByteRange = [0, start, end, bytes.length - end];
  const numbers = byteRange.map((value) => String(value).padEnd(OFFSET_DIGITS)).join(" ");
  bytes.write(numbers, key + "/ByteRange [".length, "latin1");
  return byteRange;
}

function segments(bytes: Buffer, [firstStart, firstLength, secondStart, secondLength]: ByteRange): Buffer {
  return Buffer.concat([
    bytes.subarray(firstStart, firstStart + firstLength),
    bytes.subarray(secondStart, secondStart + secondLength),
  ]);
}

/** ISO 32000-1 §7.9.4, in UTC, to the second. */
function pdfDate(date: Date): string {
  return `D:${date.toISOString().replace(/\D/g, "").slice(0, 14)}+00'00'`;
}
