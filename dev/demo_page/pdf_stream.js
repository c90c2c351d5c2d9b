import { joined } from "./bytes.js";
import { PdfError } from "./pdf_error.js";

/** What a cross-reference stream or an object stream may unfold to. */
const MOST_BYTES = 256 * 1024 * 1024;

/**
 * How the data of a stream is encoded; the filters of ISO 32000-1 §7.4 that structure is written with.
 *
 * @typedef {{ filters: readonly string[], predictor: number, columns: number }} Encoding
 */

/**
 * @param {Uint8Array<ArrayBuffer>} data
 * @param {Encoding} encoding
 * @returns {Promise<Uint8Array>}
 * @throws PdfError
 */
export async function decodeStream(data, { filters, predictor, columns }) {
  if (filters.length === 0) return data;
  if (filters.join() !== "FlateDecode" || (predictor > 1 && predictor < 10)) {
    throw new PdfError(
      `The structure of this PDF is encoded in a way that is not read here (${filters.join(", ")}).`,
    );
  }
  const bytes = await inflate(data);
  return predictor > 1 ? undoPngPrediction(bytes, columns) : bytes;
}

/** @param {Uint8Array<ArrayBuffer>} data zlib's format, RFC 1950 */
async function inflate(data) {
  const reader = new Blob([data]).stream().pipeThrough(new DecompressionStream("deflate")).getReader();
  /** @type {Uint8Array[]} */
  const chunks = [];
  let length = 0;
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      chunks.push(next.value);
      length += next.value.length;
      if (length > MOST_BYTES) break;
    }
  } catch {
    // A byte too many behind the data, a line end perhaps, is an error too; what came before it is whole.
    if (length === 0) throw PdfError.broken("a compressed stream cannot be read");
  }
  if (length > MOST_BYTES) throw PdfError.broken("a compressed stream is far too long");
  return joined(chunks);
}

/**
 * Each row has the number of its filter before it (PNG §9); a pixel is one byte here.
 *
 * @param {Uint8Array} bytes
 * @param {number} columns
 */
function undoPngPrediction(bytes, columns) {
  const rows = Math.floor(bytes.length / (columns + 1));
  const result = new Uint8Array(rows * columns);
  for (let row = 0; row < rows; row += 1) {
    const filter = bytes[row * (columns + 1)] ?? 0;
    const start = row * columns;
    for (let column = 0; column < columns; column += 1) {
      const raw = bytes[row * (columns + 1) + 1 + column] ?? 0;
      const left = column > 0 ? (result[start + column - 1] ?? 0) : 0;
      const up = row > 0 ? (result[start + column - columns] ?? 0) : 0;
      const corner = row > 0 && column > 0 ? (result[start + column - columns - 1] ?? 0) : 0;
      result[start + column] = raw + predicted(filter, left, up, corner);
    }
  }
  return result;
}

/**
 * @param {number} filter
 * @param {number} left
 * @param {number} up
 * @param {number} corner
 */
function predicted(filter, left, up, corner) {
  if (filter === 1) return left;
  if (filter === 2) return up;
  if (filter === 3) return (left + up) >> 1;
  if (filter !== 4) return 0;
  const base = left + up - corner;
  const [a, b, c] = [Math.abs(base - left), Math.abs(base - up), Math.abs(base - corner)];
  if (a <= b && a <= c) return left;
  return b <= c ? up : corner;
}
