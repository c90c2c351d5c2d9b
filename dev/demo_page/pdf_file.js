import { findStart, readRows, readTable } from "./pdf_cross_references.js";
import { PdfError } from "./pdf_error.js";
import { dictionaryOf, EMPTY, numberIn, numbersIn, readObject } from "./pdf_object.js";
import { decodeStream } from "./pdf_stream.js";
import { latin1, readNode, skipSpace } from "./pdf_syntax.js";

/**
 * @import { Entry, Section } from "./pdf_cross_references.js"
 * @import { Located, PdfObject } from "./pdf_object.js"
 * @import { PdfDictionary, PdfNode } from "./pdf_syntax.js"
 */

/** References to references, and sections before sections, are followed so far. */
const LONGEST_CHAIN = 1000;

/** The structure of a PDF (ISO 32000-1 §7.5), as far as it takes to add a signature. Nothing is repaired. */
export class PdfFile {
  /** @type {Map<number, Entry>} */
  #entries = new Map();
  /** @type {Map<number, Promise<PdfObject | undefined>>} */
  #objects = new Map();
  /** @type {Map<number, Promise<Map<number, PdfObject>>>} */
  #containers = new Map();
  #bytes;

  /** @param {Uint8Array<ArrayBuffer>} bytes */
  constructor(bytes) {
    this.#bytes = bytes;
    /** Where the newest section of the cross references begins. */
    this.start = 0;
    /** Whether that is a stream; what is added has to be one then, too. */
    this.hasStream = false;
    /** The first object number that nobody has. */
    this.size = 1;
    /** @type {Located<PdfDictionary>} of the newest section */
    this.trailer = dictionaryOf({ number: 0, generation: 0, bytes, node: EMPTY });
  }

  /**
   * @param {Uint8Array<ArrayBuffer>} bytes the whole file; it is not changed
   * @throws PdfError
   */
  static async open(bytes) {
    if (!latin1(bytes, 0, 1024).includes("%PDF-")) throw new PdfError("This file is not a PDF.");
    if (latin1(bytes, 0, 5) !== "%PDF-") throw PdfError.broken("something stands before its beginning");
    const file = new PdfFile(bytes);
    await file.#readSections();
    return file;
  }

  /**
   * The value of an entry, behind its references; `undefined` where it is absent or null.
   *
   * @param {Located<PdfDictionary>} dictionary
   * @param {string} key
   */
  async entry({ object, node }, key) {
    const value = node.entries.get(key);
    return value === undefined ? undefined : this.follow({ object, node: value });
  }

  /**
   * As `entry`, of a kind that must be.
   *
   * @template {PdfNode["kind"]} K
   * @param {Located<PdfDictionary>} dictionary
   * @param {string} key
   * @param {K} kind
   * @returns {Promise<Located<Extract<PdfNode, { kind: K }>> | undefined>}
   * @throws PdfError
   */
  async entryOf(dictionary, key, kind) {
    const value = await this.entry(dictionary, key);
    if (value !== undefined && value.node.kind !== kind) throw PdfError.broken(`its ${key} is no ${kind}`);
    return /** @type {Located<Extract<PdfNode, { kind: K }>> | undefined} */ (value);
  }

  /**
   * @param {Located} located
   * @returns {Promise<Located | undefined>}
   */
  async follow(located) {
    let { object, node } = located;
    for (let step = 0; node.kind === "reference"; step += 1) {
      const next = step < LONGEST_CHAIN ? await this.#object(node.number) : undefined;
      if (next === undefined) return undefined;
      object = next;
      node = next.node;
    }
    return node.kind === "keyword" && node.value === "null" ? undefined : { object, node };
  }

  /**
   * The same one each time, so that changes to it come together.
   *
   * @param {number} number
   */
  #object(number) {
    const object = this.#objects.get(number) ?? this.#readObject(number);
    this.#objects.set(number, object);
    return object;
  }

  /** @param {number} number */
  async #readObject(number) {
    const entry = this.#entries.get(number);
    if (entry === undefined || entry === "free") return undefined;
    if ("offset" in entry) return readObject(this.#bytes, entry.offset, number);
    // What an object stream is in cannot be in another one (§7.5.7).
    const place = this.#entries.get(entry.container);
    if (typeof place !== "object" || !("offset" in place)) return undefined;
    const known = this.#containers.get(entry.container);
    const container = known ?? this.#readContainer(readObject(this.#bytes, place.offset, entry.container));
    this.#containers.set(entry.container, container);
    return (await container).get(number);
  }

  /** From the newest section to the oldest; the first to name an object is right. */
  async #readSections() {
    this.start = findStart(this.#bytes);
    /** @type {number | undefined} */
    let start = this.start;
    const seen = new Set();
    while (start !== undefined) {
      if (seen.has(start) || seen.size > LONGEST_CHAIN)
        throw PdfError.broken("its cross references run in circles");
      seen.add(start);
      const { entries, trailer, isStream } = await this.#readSection(start);
      if (seen.size === 1) {
        this.hasStream = isStream;
        this.trailer = trailer;
      }
      const hidden = isStream ? undefined : numberIn(trailer, "XRefStm");
      // What is hidden from old readers is free in the table (§7.5.8.4).
      this.#add(entries, hidden !== undefined);
      if (hidden !== undefined) this.#add((await this.#readSection(hidden)).entries, false);
      this.#add(entries, false);
      this.size = Math.max(this.size, numberIn(trailer, "Size") ?? 0);
      start = numberIn(trailer, "Prev");
    }
  }

  /**
   * @param {Map<number, Entry>} entries
   * @param {boolean} withoutFree
   */
  #add(entries, withoutFree) {
    for (const [number, entry] of entries) {
      if (this.#entries.has(number) || (withoutFree && entry === "free")) continue;
      this.#entries.set(number, entry);
      this.size = Math.max(this.size, number + 1);
    }
  }

  /**
   * @param {number} start
   * @returns {Promise<{ entries: Section["entries"], trailer: Located<PdfDictionary>, isStream: boolean }>}
   */
  async #readSection(start) {
    const bytes = this.#bytes;
    if (start >= bytes.length) throw PdfError.broken("its cross references are not where it says");
    const at = skipSpace(bytes, start);
    if (latin1(bytes, at, at + 4) === "xref") {
      const { entries, trailer } = readTable(bytes, at + 4);
      const object = { number: 0, generation: 0, bytes, node: trailer };
      return { entries, trailer: { object, node: trailer }, isStream: false };
    }
    const trailer = dictionaryOf(readObject(bytes, at));
    const rows = await this.#decode(trailer);
    const widths = numbersIn(trailer, "W");
    const index = trailer.node.entries.has("Index")
      ? numbersIn(trailer, "Index")
      : [0, numberIn(trailer, "Size") ?? 0];
    if (widths.length < 3) throw PdfError.broken("its cross references are not where it says");
    return { entries: readRows(rows, widths, index), trailer, isStream: true };
  }

  /**
   * The objects of an object stream: §7.5.7.
   *
   * @param {PdfObject} object
   * @returns {Promise<Map<number, PdfObject>>}
   */
  async #readContainer(object) {
    const stream = dictionaryOf(object);
    const bytes = new Uint8Array(await this.#decode(stream));
    const [count = 0, first = 0] = [numberIn(stream, "N"), numberIn(stream, "First")];
    const head = latin1(bytes, 0, first)
      .trim()
      .split(/[\0\s]+/)
      .map(Number);
    const objects = new Map();
    for (let index = 0; index < count; index += 1) {
      const [number, offset] = [head[2 * index], head[2 * index + 1]];
      if (number === undefined || offset === undefined)
        throw PdfError.broken("an object stream is too short");
      objects.set(number, { number, generation: 0, bytes, node: readNode(bytes, first + offset) });
    }
    return objects;
  }

  /** @param {Located<PdfDictionary>} stream */
  async #decode(stream) {
    const { object, node } = stream;
    const length = await this.entryOf(stream, "Length", "number");
    const keyword = skipSpace(object.bytes, node.end);
    if (length === undefined || latin1(object.bytes, keyword, keyword + 6) !== "stream") {
      throw PdfError.broken("a stream is not where its cross references say");
    }
    const start = keyword + 6 + (latin1(object.bytes, keyword + 6, keyword + 8) === "\r\n" ? 2 : 1);
    const end = start + length.node.value;
    const behind = skipSpace(object.bytes, end);
    if (latin1(object.bytes, behind, behind + 9) !== "endstream")
      throw PdfError.broken("a stream has another length");
    const parameters = await this.#single(stream, "DecodeParms");
    const columns = parameters?.kind === "dictionary" ? parameters.entries.get("Columns") : undefined;
    const predictor = parameters?.kind === "dictionary" ? parameters.entries.get("Predictor") : undefined;
    const filter = await this.#single(stream, "Filter");
    return decodeStream(object.bytes.subarray(start, end), {
      filters: filter === undefined ? [] : [filter.kind === "name" ? filter.value : "?"],
      predictor: predictor?.kind === "number" ? predictor.value : 1,
      columns: columns?.kind === "number" ? columns.value : 1,
    });
  }

  /**
   * What may stand alone or in an array of one.
   *
   * @param {Located<PdfDictionary>} dictionary
   * @param {string} key
   */
  async #single(dictionary, key) {
    const value = await this.entry(dictionary, key);
    if (value?.node.kind !== "array") return value?.node;
    const [first, second] = value.node.items;
    if (second !== undefined)
      throw new PdfError("The structure of this PDF is encoded twice, which is not read here.");
    return first === undefined ? undefined : (await this.follow({ object: value.object, node: first }))?.node;
  }
}
