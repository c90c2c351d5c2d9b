import { PdfError } from "./pdf_error.js";
import { readNode } from "./pdf_syntax.js";

/** @import { PdfDictionary, PdfNode } from "./pdf_syntax.js" */

/**
 * An indirect object, and the bytes that its nodes have their places in: the file's, or those of an object stream.
 *
 * @typedef {{ number: number, generation: number, bytes: Uint8Array<ArrayBuffer>, node: PdfNode }} PdfObject
 */

/**
 * Something in an object.
 *
 * @template {PdfNode} [N=PdfNode]
 * @typedef {{ object: PdfObject, node: N }} Located
 */

/** @type {PdfDictionary} */
export const EMPTY = { kind: "dictionary", start: 0, end: 0, entries: new Map() };

/**
 * @param {Uint8Array<ArrayBuffer>} bytes
 * @param {number} offset
 * @param {number} [wanted] the number that it has to have
 * @returns {PdfObject}
 */
export function readObject(bytes, offset, wanted) {
  const number = readNode(bytes, offset);
  const generation = readNode(bytes, number.end);
  const keyword = readNode(bytes, generation.end);
  const isHead = keyword.kind === "keyword" && keyword.value === "obj";
  if (number.kind !== "number" || generation.kind !== "number" || !isHead) {
    throw PdfError.broken("an object is not where its cross references say");
  }
  if (wanted !== undefined && number.value !== wanted) {
    throw PdfError.broken(`where object ${wanted} should be, there is another one`);
  }
  const node = readNode(bytes, keyword.end);
  return { number: number.value, generation: generation.value, bytes, node };
}

/**
 * @param {PdfObject} object
 * @returns {Located<PdfDictionary>}
 */
export function dictionaryOf(object) {
  if (object.node.kind !== "dictionary") throw PdfError.broken("an object is no dictionary where one is due");
  return { object, node: object.node };
}

/**
 * @param {Located<PdfDictionary>} dictionary
 * @param {string} key
 */
export function numberIn({ node }, key) {
  const value = node.entries.get(key);
  return value?.kind === "number" ? value.value : undefined;
}

/**
 * @param {Located<PdfDictionary>} dictionary
 * @param {string} key
 */
export function numbersIn({ node }, key) {
  const value = node.entries.get(key);
  if (value?.kind !== "array") return [];
  return value.items.map((item) => (item.kind === "number" ? item.value : 0));
}
