import { joined, latin1Bytes, sha256 } from "./bytes.js";
import { escaped, pdfDate } from "./pdf_text.js";

/** @import { SamplePdfOptions } from "./sample_pdf.d.ts" */

/** @type {readonly [number, number, number, number]} */
export const SAMPLE_RECTANGLE = [72, 505, 312, 565];

const OFFSET_DIGITS = 10;
/** Where `objects` puts the document information dictionary: ISO 32000-1 §14.3.3. */
const INFORMATION_OBJECT = 7;
const LINES = [
  "This page was made to be signed. Its signature is a detached CMS SignedData",
  "over every byte of this file except the signature itself.",
  "",
  "The private key that makes it stays in the hardware security module (here:",
  "in SoftHSM2, its stand-in on a developer's machine). Only a digest goes in,",
  "and only a signature comes out.",
];

/**
 * @param {SamplePdfOptions} [options]
 * @returns {Promise<Uint8Array<ArrayBuffer>>}
 */
export async function samplePdf({ paddingBytes = 0, now = new Date() } = {}) {
  // Four bytes above 127 in a comment tell transfer programs that the file is binary (§7.5.2).
  const parts = [latin1Bytes("%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")];
  const entries = ["0000000000 65535 f \n"];
  let length = parts[0]?.length ?? 0;
  for (const [index, body] of objects(paddingBytes, pdfDate(now)).entries()) {
    entries.push(`${String(length).padStart(OFFSET_DIGITS, "0")} 00000 n \n`);
    const object = joined([latin1Bytes(`${index + 1} 0 obj\n`), body, latin1Bytes("\nendobj\n")]);
    parts.push(object);
    length += object.length;
  }
  // §14.4 asks for something that tells one file from another, such as a digest of what is in it.
  const id = `<${(await sha256(joined(parts))).slice(0, 32)}>`;
  const trailer = `<< /Size ${entries.length} /Root 1 0 R /Info ${INFORMATION_OBJECT} 0 R /ID [${id} ${id}] >>`;
  const xref = `xref\n0 ${entries.length}\n${entries.join("")}`;
  parts.push(latin1Bytes(`${xref}trailer\n${trailer}\nstartxref\n${length}\n%%EOF\n`));
  return joined(parts);
}

/**
 * The indirect objects, the first one number 1, in the order of the references among them.
 *
 * @param {number} paddingBytes
 * @param {string} date
 */
function objects(paddingBytes, date) {
  const padding = new Uint8Array(paddingBytes).fill(0x20);
  return [
    latin1Bytes("<< /Type /Catalog /Pages 2 0 R >>"),
    latin1Bytes("<< /Type /Pages /Kids [3 0 R] /Count 1 >>"),
    latin1Bytes(
      "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R\n" +
        "   /Resources << /Font << /Text 5 0 R /Head 6 0 R >> >> >>",
    ),
    stream(latin1Bytes(pageContent())),
    font("Helvetica"),
    font("Helvetica-Bold"),
    latin1Bytes(`<< /Title (A sample agreement) /Producer (hsm-signer) /CreationDate (${date}) >>`),
    ...(paddingBytes > 0 ? [stream(padding)] : []),
  ];
}

/** @param {string} name */
function font(name) {
  return latin1Bytes(`<< /Type /Font /Subtype /Type1 /BaseFont /${name} /Encoding /WinAnsiEncoding >>`);
}

/** The page: operators of §8 and §9, in points from the lower left corner of an A4 sheet. */
function pageContent() {
  return [
    "0.13 0.30 0.53 rg 0 812 595 30 re f",
    "BT 0.13 0.13 0.15 rg /Head 24 Tf 72 740 Td (A sample agreement) Tj ET",
    "BT /Text 12 Tf 17 TL 72 710 Td",
    ...LINES.map((line) => `(${escaped(line)}) Tj T*`),
    "ET",
    "0.45 G 0.75 w 72 495 m 312 495 l S",
    "BT 0.45 g /Text 9 Tf 72 482 Td (Signature) Tj ET",
  ].join("\n");
}

/** @param {Uint8Array} data */
function stream(data) {
  const head = latin1Bytes(`<< /Length ${data.length} >>\nstream\n`);
  return joined([head, data, latin1Bytes("\nendstream")]);
}
