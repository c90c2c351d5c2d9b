import { hexadecimal, latin1Bytes } from "./bytes.js";
import { PdfError } from "./pdf_error.js";
import { PdfFile } from "./pdf_file.js";
import { catalogOf, firstPage } from "./pdf_places.js";
import { escaped, pdfDate } from "./pdf_text.js";
import { PdfUpdate } from "./pdf_update.js";

/**
 * What pdf_placeholder.d.ts says.
 *
 * @import { Located } from "./pdf_object.js"
 * @import { ByteRange, Placeholder, PlaceholderOptions } from "./pdf_placeholder.d.ts"
 * @import { PdfDictionary } from "./pdf_syntax.js"
 */

export const WEB_SDK_PLACEHOLDER_BYTES = 16_385;
/** As many as a cross-reference table has for an offset, so that filling /ByteRange moves nothing. */
const OFFSET_DIGITS = 10;
const BEFORE_BYTE_RANGE =
  "<< /Type /Sig /Filter /Adobe.PPKLite /SubFilter /adbe.pkcs7.detached\n   /ByteRange [";
const BYTE_RANGE_WIDTH = 4 * (OFFSET_DIGITS + 1);
/** SignaturesExist and AppendOnly: ISO 32000-1 §12.7.2, table 219. */
const SIGNATURE_FLAGS = 3;

/**
 * @param {Uint8Array<ArrayBuffer>} bytes
 * @param {PlaceholderOptions} [options]
 * @returns {Promise<Placeholder>}
 */
export async function addPlaceholder(bytes, options = {}) {
  const { placeholderBytes = WEB_SDK_PLACEHOLDER_BYTES, now = new Date(), reason, rectangle } = options;
  if (!Number.isSafeInteger(placeholderBytes) || placeholderBytes < 1) {
    throw new RangeError(`Cannot reserve a placeholder of ${placeholderBytes} bytes`);
  }
  const file = await PdfFile.open(bytes);
  const catalog = await catalogOf(file);
  const page = await firstPage(file, catalog);
  const update = new PdfUpdate(file);
  const signature = update.add(signatureDictionary(placeholderBytes, pdfDate(now), reason));
  const appearance = rectangle === undefined ? undefined : update.add(appearanceOf(rectangle));
  const field = update.add(
    `<< /Type /Annot /Subtype /Widget /FT /Sig /T (hsm-signer ${update.nextNumber}) /F 132\n` +
      `   /Rect [${(rectangle ?? [0, 0, 0, 0]).join(" ")}] /P ${page.object.number} ${page.object.generation} R ` +
      `/V ${signature} 0 R${appearance === undefined ? "" : ` /AP << /N ${appearance} 0 R >>`} >>`,
  );
  await addToArray(file, update, page, "Annots", `${field} 0 R`);
  await addField(file, update, catalog, `${field} 0 R`);
  const { bytes: appended, contents } = await update.write(bytes.length);
  const byteRange = fillByteRange(bytes.length, appended, contents.get(signature) ?? 0, placeholderBytes);
  return { update: appended, byteRange };
}

/**
 * @param {ByteRange} byteRange
 * @param {Uint8Array} der
 */
export function signatureText([, start, end], der) {
  const capacity = (end - start - 2) / 2;
  if (der.length > capacity) {
    throw new RangeError(
      `Cannot embed a signature of ${der.length} bytes: the placeholder holds ${capacity}`,
    );
  }
  return `<${hexadecimal(der).padEnd(2 * capacity, "0")}>`;
}

/**
 * @param {PdfFile} file
 * @param {PdfUpdate} update
 * @param {Located<PdfDictionary>} catalog
 * @param {string} reference
 */
async function addField(file, update, catalog, reference) {
  const form = await file.entryOf(catalog, "AcroForm", "dictionary");
  if (form === undefined) {
    setEntry(update, catalog, "AcroForm", `<< /Fields [${reference}] /SigFlags ${SIGNATURE_FLAGS} >>`);
    return;
  }
  if (await file.entry(form, "XFA")) {
    throw new PdfError(
      "This PDF holds an XFA form, which readers show instead of its pages. It is not signed here.",
    );
  }
  await addToArray(file, update, form, "Fields", reference);
  const flags = await file.entryOf(form, "SigFlags", "number");
  setEntry(update, form, "SigFlags", String((flags?.node.value ?? 0) | SIGNATURE_FLAGS));
}

/**
 * @param {PdfFile} file
 * @param {PdfUpdate} update
 * @param {Located<PdfDictionary>} dictionary
 * @param {string} key
 * @param {string} reference
 */
async function addToArray(file, update, dictionary, key, reference) {
  const array = await file.entryOf(dictionary, key, "array");
  if (array === undefined) setEntry(update, dictionary, key, `[${reference}]`);
  else update.append(array, reference);
}

/**
 * @param {PdfUpdate} update
 * @param {Located<PdfDictionary>} dictionary
 * @param {string} key
 * @param {string} text
 */
function setEntry(update, { object, node }, key, text) {
  const former = node.entries.get(key);
  if (former === undefined) update.append({ object, node }, `/${key} ${text}`);
  else update.replace({ object, node: former }, text);
}

/**
 * @param {number} placeholderBytes
 * @param {string} date
 * @param {string | undefined} reason
 */
function signatureDictionary(placeholderBytes, date, reason) {
  return (
    `${BEFORE_BYTE_RANGE}${" ".repeat(BYTE_RANGE_WIDTH)}]\n` +
    `   /Contents <${"0".repeat(2 * placeholderBytes)}>\n` +
    `   /M (${date})${reason === undefined ? "" : ` /Reason (${escaped(reason)})`} >>`
  );
}

/**
 * What the field looks like; it names no signer, since the signature is made after it.
 *
 * @param {readonly [number, number, number, number]} rectangle
 */
function appearanceOf([left, bottom, right, top]) {
  const [width, height] = [right - left, top - bottom];
  const content = [
    `0.94 0.96 0.99 rg 0.13 0.30 0.53 RG 0.75 w 0.5 0.5 ${width - 1} ${height - 1} re B`,
    "BT 0.13 0.30 0.53 rg /Head 12 Tf 14 34 Td (Digitally signed) Tj ET",
    "BT 0.13 0.30 0.53 rg /Text 9 Tf 14 18 Td (See the signature panel for the signer) Tj ET",
  ].join("\n");
  const font = (/** @type {string} */ name) =>
    `<< /Type /Font /Subtype /Type1 /BaseFont /${name} /Encoding /WinAnsiEncoding >>`;
  return (
    `<< /Type /XObject /Subtype /Form /BBox [0 0 ${width} ${height}] /Length ${content.length}\n` +
    `   /Resources << /Font << /Text ${font("Helvetica")} /Head ${font("Helvetica-Bold")} >> >> >>\n` +
    `stream\n${content}\nendstream`
  );
}

/**
 * Writes /ByteRange into the room that was left for it.
 *
 * @param {number} fileLength
 * @param {Uint8Array} update
 * @param {number} dictionaryStart of the signature dictionary, in the file
 * @param {number} placeholderBytes
 * @returns {ByteRange}
 */
function fillByteRange(fileLength, update, dictionaryStart, placeholderBytes) {
  const room = dictionaryStart - fileLength + BEFORE_BYTE_RANGE.length;
  const start = fileLength + update.indexOf(0x3c, room);
  const end = start + 2 * placeholderBytes + 2;
  /** @type {ByteRange} */
  const byteRange = [0, start, end, fileLength + update.length - end];
  update.set(latin1Bytes(byteRange.map((value) => String(value).padEnd(OFFSET_DIGITS)).join(" ")), room);
  return byteRange;
}
