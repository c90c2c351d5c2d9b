import { joined, latin1Bytes, sha256 } from "./bytes.js";
import { latin1 } from "./pdf_syntax.js";

/**
 * @import { PdfFile } from "./pdf_file.js"
 * @import { Located, PdfObject } from "./pdf_object.js"
 * @import { PdfArray, PdfDictionary } from "./pdf_syntax.js"
 *
 * @typedef {{ start: number, end: number, text: string }} Edit in the bytes of an object
 * @typedef {{ generation: number, content: Uint8Array }} Written
 */

/** An xref entry has ten digits for an offset: ISO 32000-1 §7.5.4. */
const OFFSET_DIGITS = 10;

/**
 * What is appended to a file to change it: §7.5.6. Of an object that changes, every byte that need not change stays
 * as it is.
 */
export class PdfUpdate {
  /** @type {Map<PdfObject, Edit[]>} */
  #edits = new Map();
  /** @type {Map<number, Written>} */
  #added = new Map();
  #file;

  /** @param {PdfFile} file */
  constructor(file) {
    this.#file = file;
  }

  /**
   * @param {Located} located
   * @param {string} text
   */
  replace({ object, node }, text) {
    this.#edit(object, { start: node.start, end: node.end, text });
  }

  /**
   * At the end of an array or a dictionary.
   *
   * @param {Located<PdfArray> | Located<PdfDictionary>} located
   * @param {string} text
   */
  append({ object, node }, text) {
    const end = node.end - (node.kind === "array" ? 1 : 2);
    this.#edit(object, { start: end, end, text: ` ${text} ` });
  }

  /**
   * @param {string} content
   * @returns the number of the new object; its generation is 0
   */
  add(content) {
    const number = this.nextNumber;
    this.#added.set(number, { generation: 0, content: latin1Bytes(content) });
    return number;
  }

  get nextNumber() {
    return this.#file.size + this.#added.size;
  }

  /**
   * @param {number} length of the file
   * @returns the bytes to append, and where in the file each object begins behind its `obj`
   */
  async write(length) {
    /** @type {Uint8Array[]} */
    const parts = [latin1Bytes("\n")];
    /** @type {Map<number, number>} */
    const contents = new Map();
    /** @type {Map<number, { offset: number, generation: number }>} */
    const places = new Map();
    let at = length + 1;
    const put = (/** @type {Uint8Array} */ part) => {
      parts.push(part);
      at += part.length;
    };
    for (const [number, { generation, content }] of this.#objects()) {
      places.set(number, { offset: at, generation });
      put(latin1Bytes(`${number} ${generation} obj\n`));
      contents.set(number, at);
      put(content);
      put(latin1Bytes("\nendobj\n"));
    }
    const id = await this.#identifiers(joined(parts));
    parts.push(
      latin1Bytes(this.#file.hasStream ? this.#stream(places, at, id) : this.#table(places, at, id)),
    );
    return { bytes: joined(parts), contents };
  }

  /**
   * @param {PdfObject} object
   * @param {Edit} edit
   */
  #edit(object, edit) {
    this.#edits.set(object, [...(this.#edits.get(object) ?? []), edit]);
  }

  /** @returns {[number, Written][]} in the order of their numbers */
  #objects() {
    const changed = [...this.#edits].map(([{ number, generation, bytes, node }, edits]) => {
      const parts = [];
      let at = node.start;
      for (const { start, end, text } of edits.toSorted((one, other) => one.start - other.start)) {
        parts.push(bytes.subarray(at, start), latin1Bytes(text));
        at = end;
      }
      parts.push(bytes.subarray(at, node.end));
      return /** @type {[number, Written]} */ ([number, { generation, content: joined(parts) }]);
    });
    return [...changed, ...this.#added].sort(([one], [other]) => one - other);
  }

  /**
   * §14.4: the first one stays, the second tells this version from others.
   *
   * @param {Uint8Array<ArrayBuffer>} body
   */
  async #identifiers(body) {
    const { object, node } = this.#file.trailer;
    const former = node.entries.get("ID");
    const [first] = former?.kind === "array" ? former.items : [];
    const own = `<${(await sha256(body)).slice(0, 32)}>`;
    return `[${first?.kind === "string" ? latin1(object.bytes, first.start, first.end) : own} ${own}]`;
  }

  /** @param {string} id */
  #trailerEntries(id) {
    const { object, node } = this.#file.trailer;
    const copied = ["Root", "Info"].map((key) => {
      const value = node.entries.get(key);
      return value === undefined ? "" : `/${key} ${latin1(object.bytes, value.start, value.end)} `;
    });
    return `${copied.join("")}/Prev ${this.#file.start} /ID ${id}`;
  }

  /**
   * @param {Map<number, { offset: number, generation: number }>} places
   * @param {number} at
   * @param {string} id
   */
  #table(places, at, id) {
    const sections = runs([...places.keys()]).map((numbers) => {
      const entries = numbers.map((number) => {
        const { offset, generation } = places.get(number) ?? { offset: 0, generation: 0 };
        return `${digits(offset, OFFSET_DIGITS)} ${digits(generation, 5)} n \n`;
      });
      return `${numbers[0]} ${numbers.length}\n${entries.join("")}`;
    });
    const trailer = `<< /Size ${this.nextNumber} ${this.#trailerEntries(id)} >>`;
    return `xref\n${sections.join("")}trailer\n${trailer}\nstartxref\n${at}\n%%EOF\n`;
  }

  /**
   * A stream that is not compressed, with itself in it: rows of one, five and two bytes.
   *
   * @param {Map<number, { offset: number, generation: number }>} places
   * @param {number} at
   * @param {string} id
   */
  #stream(places, at, id) {
    const number = this.nextNumber;
    const all = new Map([...places, [number, { offset: at, generation: 0 }]]);
    const row = (/** @type {{ offset: number, generation: number }} */ { offset, generation }) =>
      `\x01${big(offset, 5)}${big(generation, 2)}`;
    const rows = [...all.values()].map(row).join("");
    const index = runs([...all.keys()]).map((numbers) => `${numbers[0]} ${numbers.length}`);
    const dictionary =
      `<< /Type /XRef /Size ${number + 1} /W [1 5 2] /Index [${index.join(" ")}] ` +
      `/Length ${rows.length} ${this.#trailerEntries(id)} >>`;
    return `${number} 0 obj\n${dictionary}\nstream\n${rows}\nendstream\nendobj\nstartxref\n${at}\n%%EOF\n`;
  }
}

/**
 * Cuts a list of ascending numbers into those that follow each other.
 *
 * @param {readonly number[]} numbers
 */
function runs(numbers) {
  /** @type {number[][]} */
  const found = [];
  for (const number of numbers) {
    const last = found.at(-1);
    if (last?.at(-1) === number - 1) last.push(number);
    else found.push([number]);
  }
  return found;
}

/**
 * @param {number} value
 * @param {number} length
 */
function digits(value, length) {
  return String(value).padStart(length, "0");
}

/**
 * @param {number} value
 * @param {number} length in bytes
 */
function big(value, length) {
  let text = "";
  for (let rest = value; text.length < length; rest = Math.floor(rest / 256)) {
    text = String.fromCharCode(rest % 256) + text;
  }
  return text;
}
