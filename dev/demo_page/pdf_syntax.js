import { PdfError } from "./pdf_error.js";

/**
 * Objects as ISO 32000-1 §7.3 writes them, each with the place where it stands, so that a change can leave every
 * other byte as it is.
 *
 * @typedef {{ start: number, end: number }} Place end is behind the last byte
 * @typedef {Place & { kind: "dictionary", entries: Map<string, PdfNode> }} PdfDictionary
 * @typedef {Place & { kind: "array", items: PdfNode[] }} PdfArray
 * @typedef {Place & { kind: "reference", number: number, generation: number }} PdfReference
 * @typedef {Place & { kind: "number", value: number }} PdfNumber
 * @typedef {Place & { kind: "name", value: string }} PdfName
 * @typedef {Place & { kind: "string" }} PdfString
 * @typedef {Place & { kind: "keyword", value: string }} PdfKeyword true, false, null, and those of the file's structure
 * @typedef {PdfDictionary | PdfArray | PdfReference | PdfNumber | PdfName | PdfString | PdfKeyword} PdfNode
 */

const DEEPEST = 100;
const WHITE_SPACE = "\0\t\n\f\r ";
const DELIMITERS = "()<>[]{}/%";
const REGULAR = 0;
const WHITE = 1;
const DELIMITER = 2;
/** The kind of each byte: ISO 32000-1 §7.2.2. */
const KINDS = Uint8Array.from({ length: 256 }, (_, byte) => {
  const character = String.fromCharCode(byte);
  if (WHITE_SPACE.includes(character)) return WHITE;
  return DELIMITERS.includes(character) ? DELIMITER : REGULAR;
});

/**
 * @param {Uint8Array} bytes
 * @param {number} start
 * @param {number} end
 */
export function latin1(bytes, start, end) {
  let text = "";
  for (let at = start; at < Math.min(end, bytes.length); at += 1) text += String.fromCharCode(bytes[at] ?? 0);
  return text;
}

/**
 * The place behind white space and comments.
 *
 * @param {Uint8Array} bytes
 * @param {number} at
 */
export function skipSpace(bytes, at) {
  let place = at;
  for (;;) {
    while (place < bytes.length && KINDS[bytes[place] ?? 0] === WHITE) place += 1;
    if (bytes[place] !== 0x25) return place;
    while (place < bytes.length && bytes[place] !== 0x0a && bytes[place] !== 0x0d) place += 1;
  }
}

/**
 * Reads the object that begins at a place, or behind the white space there. A keyword of the file's structure,
 * such as `endobj`, is one of its own.
 *
 * @param {Uint8Array} bytes
 * @param {number} at
 * @returns {PdfNode}
 * @throws PdfError
 */
export function readNode(bytes, at, depth = 0) {
  if (depth > DEEPEST) throw PdfError.broken("its objects are nested too deeply");
  const start = skipSpace(bytes, at);
  const [first, second] = [latin1(bytes, start, start + 1), latin1(bytes, start + 1, start + 2)];
  if (first === "") throw PdfError.broken("it ends in the middle of an object");
  if (first === "/") return { kind: "name", start, ...regularText(bytes, start + 1, decodeName) };
  if (first === "<" && second === "<") return readDictionary(bytes, start, depth);
  if (first === "<") return { kind: "string", start, end: behind(bytes, start, 0x3e) };
  if (first === "(") return { kind: "string", start, end: endOfLiteral(bytes, start) };
  if (first === "[") return readArray(bytes, start, depth);
  const { value, end } = regularText(bytes, start, String);
  if (value === "") throw PdfError.broken(`an object begins with "${first}"`);
  if (/^[+-]?(\d+\.?\d*|\.\d+)$/.test(value)) return readNumber(bytes, start, end, value);
  return { kind: "keyword", start, end, value };
}

/**
 * @param {Uint8Array} bytes
 * @param {number} start
 * @param {(text: string) => string} decode
 */
function regularText(bytes, start, decode) {
  let end = start;
  while (end < bytes.length && KINDS[bytes[end] ?? 0] === REGULAR) end += 1;
  return { value: decode(latin1(bytes, start, end)), end };
}

/** @param {string} text */
function decodeName(text) {
  return text.replace(/#([\da-f]{2})/gi, (_, digits) => String.fromCharCode(Number.parseInt(digits, 16)));
}

/**
 * A number, or the reference that it begins: `12 0 R`.
 *
 * @param {Uint8Array} bytes
 * @param {number} start
 * @param {number} end
 * @param {string} text
 * @returns {PdfNumber | PdfReference}
 */
function readNumber(bytes, start, end, text) {
  if (/^\d+$/.test(text)) {
    const match = /^[\0\t\n\f\r ]+(\d+)[\0\t\n\f\r ]+R(?![^\0\t\n\f\r ()<>[\]{}/%])/.exec(
      latin1(bytes, end, end + 24),
    );
    if (match) {
      const [whole, generation] = match;
      const place = { start, end: end + whole.length };
      return { kind: "reference", ...place, number: Number(text), generation: Number(generation) };
    }
  }
  return { kind: "number", start, end, value: Number(text) };
}

/**
 * @param {Uint8Array} bytes
 * @param {number} start
 * @param {number} depth
 * @returns {PdfDictionary}
 */
function readDictionary(bytes, start, depth) {
  /** @type {Map<string, PdfNode>} */
  const entries = new Map();
  let at = skipSpace(bytes, start + 2);
  while (latin1(bytes, at, at + 2) !== ">>") {
    const key = readNode(bytes, at, depth + 1);
    if (key.kind !== "name") throw PdfError.broken("a dictionary has a key that is no name");
    const value = readNode(bytes, key.end, depth + 1);
    entries.set(key.value, value);
    at = skipSpace(bytes, value.end);
  }
  return { kind: "dictionary", start, end: at + 2, entries };
}

/**
 * @param {Uint8Array} bytes
 * @param {number} start
 * @param {number} depth
 * @returns {PdfArray}
 */
function readArray(bytes, start, depth) {
  /** @type {PdfNode[]} */
  const items = [];
  let at = skipSpace(bytes, start + 1);
  while (bytes[at] !== 0x5d) {
    const item = readNode(bytes, at, depth + 1);
    items.push(item);
    at = skipSpace(bytes, item.end);
  }
  return { kind: "array", start, end: at + 1, items };
}

/**
 * @param {Uint8Array} bytes
 * @param {number} start
 * @param {number} byte
 */
function behind(bytes, start, byte) {
  const place = bytes.indexOf(byte, start);
  if (place === -1) throw PdfError.broken("a string has no end");
  return place + 1;
}

/**
 * §7.3.4.2: parentheses in it are balanced, or stand behind a backslash.
 *
 * @param {Uint8Array} bytes
 * @param {number} start
 */
function endOfLiteral(bytes, start) {
  let depth = 0;
  for (let at = start; at < bytes.length; at += 1) {
    if (bytes[at] === 0x5c) at += 1;
    else if (bytes[at] === 0x28) depth += 1;
    else if (bytes[at] === 0x29) {
      depth -= 1;
      if (depth === 0) return at + 1;
    }
  }
  throw PdfError.broken("a string has no end");
}
