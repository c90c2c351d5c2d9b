import { PdfError } from "./pdf_error.js";
import { latin1, readNode, skipSpace } from "./pdf_syntax.js";

/** @import { PdfDictionary } from "./pdf_syntax.js" */

/**
 * Where an object is: in the file, or in an object stream, or deleted.
 *
 * @typedef {{ offset: number, generation: number } | { container: number, index: number } | "free"} Entry
 *
 * One section of the cross references (ISO 32000-1 §7.5.4, §7.5.8), and the dictionary beside it.
 *
 * @typedef {{ entries: Map<number, Entry>, trailer: PdfDictionary }} Section
 */

/** Where the last section begins; before that, nothing is known of a file. */
const TAIL = 2048;

/**
 * The offset of the newest section: §7.5.5.
 *
 * @param {Uint8Array} bytes
 */
export function findStart(bytes) {
  const tail = latin1(bytes, Math.max(bytes.length - TAIL, 0), bytes.length);
  const found = [...tail.matchAll(/startxref[\0\t\n\f\r ]+(\d+)/g)].at(-1);
  if (found === undefined) throw PdfError.broken("its end is missing");
  return Number(found[1]);
}

/**
 * A table of the classic form, with its trailer.
 *
 * @param {Uint8Array} bytes
 * @param {number} start behind the keyword `xref`
 * @returns {Section}
 */
export function readTable(bytes, start) {
  /** @type {Map<number, Entry>} */
  const entries = new Map();
  let at = start;
  for (;;) {
    const head = token(bytes, at);
    if (head.text === "trailer") {
      const trailer = readNode(bytes, head.end);
      if (trailer.kind !== "dictionary") throw PdfError.broken("its trailer is no dictionary");
      return { entries, trailer };
    }
    const count = token(bytes, head.end);
    const [first, last] = [whole(head.text), whole(head.text) + whole(count.text)];
    at = count.end;
    for (let number = first; number < last; number += 1) {
      const offset = token(bytes, at);
      const generation = token(bytes, offset.end);
      const kind = token(bytes, generation.end);
      if (!/^[nf]$/.test(kind.text)) throw PdfError.broken("its table of objects cannot be read");
      const place = { offset: whole(offset.text), generation: whole(generation.text) };
      entries.set(number, kind.text === "n" && place.offset > 0 ? place : "free");
      at = kind.end;
    }
  }
}

/**
 * @param {Uint8Array} bytes
 * @param {number} at
 */
function token(bytes, at) {
  const start = skipSpace(bytes, at);
  let end = start;
  while (end < bytes.length && end - start < 20 && /[\da-z]/.test(String.fromCharCode(bytes[end] ?? 0)))
    end += 1;
  return { text: latin1(bytes, start, end), end };
}

/** @param {string} text */
function whole(text) {
  if (!/^\d+$/.test(text)) throw PdfError.broken("its table of objects cannot be read");
  return Number(text);
}

/**
 * The entries of a cross-reference stream: rows of three numbers, most significant byte first (§7.5.8.3).
 *
 * @param {Uint8Array} rows decoded
 * @param {readonly number[]} widths of the three, in bytes
 * @param {readonly number[]} index pairs of a first object number and how many follow
 * @returns {Map<number, Entry>}
 */
export function readRows(rows, widths, index) {
  const [typeWidth = 0, secondWidth = 0, thirdWidth = 0] = widths;
  /** @type {Map<number, Entry>} */
  const entries = new Map();
  let at = 0;
  const next = (/** @type {number} */ width) => {
    let value = 0;
    for (const end = at + width; at < end; at += 1) value = value * 256 + (rows[at] ?? 0);
    return value;
  };
  for (let pair = 0; pair + 1 < index.length; pair += 2) {
    const first = index[pair] ?? 0;
    for (let number = first; number < first + (index[pair + 1] ?? 0); number += 1) {
      if (at >= rows.length) return entries;
      const type = typeWidth === 0 ? 1 : next(typeWidth);
      const [second, third] = [next(secondWidth), next(thirdWidth)];
      entries.set(number, entryOf(type, second, third));
    }
  }
  return entries;
}

/**
 * @param {number} type
 * @param {number} second
 * @param {number} third
 * @returns {Entry}
 */
function entryOf(type, second, third) {
  if (type === 1) return { offset: second, generation: third };
  return type === 2 ? { container: second, index: third } : "free";
}
