import { isUtf8 } from "node:buffer";
import { SignerError } from "../errors.ts";
import { Base64Decoder } from "./base64_decoder.ts";
import type { BodySink } from "./exchange.ts";

/** The members of the request that are looked at, besides the document that was streamed away. */
export interface SignRequestMembers {
  readonly hasDocument: boolean;
  readonly hash: unknown;
}

const DOCUMENT = "encodedContents";
/** Everything but the document, in bytes: names, hash, and whatever else a client sends along. */
const MAX_REST = 64 * 1024;
/** Pieces of the rest that are kept apart, at most. */
const MAX_PIECES = 64;
/** Nesting at most, so that JSON.parse need not recurse as deep as a client likes. */
const MAX_DEPTH = 32;

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const isSpace = (byte: number): boolean => byte === 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d;

/** JSON strings that stand for one character each, by the letter after the backslash; \u is apart. */
const ESCAPES: Readonly<Record<string, string>> = {
  '"': '"',
  "\\": "\\",
  "/": "/",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
};

/**
 * Reads the JSON of a sign request as it arrives. The value of the top-level member `encodedContents` is
 * decoded and handed on piece by piece, and `""` stands in for it in the rest; the rest is small, and
 * `JSON.parse` says at the end whether all of it was JSON. So memory does not depend on the document's size,
 * and what is valid JSON is decided by the platform's parser.
 */
export class JsonDocumentSink implements BodySink {
  readonly #base64: Base64Decoder;
  /** What `onBytes` said last, about the chunk that is being read. */
  #room: void | Promise<void> = undefined;
  readonly #rest: Buffer[] = [];
  #restLength = 0;
  #state: "structure" | "string" | "escape" | "document" | "documentEscape" = "structure";
  #depth = 0;
  #topLevelIsObject = false;
  /** Bytes of the string being read, where it may be a name of the top level. */
  #name: Buffer[] | undefined;
  /** The top-level name whose value comes next. */
  #lastName: string | undefined;
  #expectsName = false;
  #documentEscape = "";
  readonly #seen = new Set<string>();

  /**
   * @param onBytes takes the document's bytes; must be done with them when it returns, and may return a promise where no
   *   more should come before it resolves
   */
  constructor(onBytes: (bytes: Buffer) => void | Promise<void>) {
    this.#base64 = new Base64Decoder((bytes) => {
      this.#room = onBytes(bytes);
    });
  }

  write(chunk: Buffer): void | Promise<void> {
    this.#room = undefined;
    let position = 0;
    let kept = 0;
    while (position < chunk.length) {
      if (this.#state === "document" || this.#state === "documentEscape") {
        position = this.#readDocument(chunk, position);
        kept = position;
      } else if (this.#state === "structure") {
        position = this.#readStructure(chunk, position);
        if (this.#isReading("document")) {
          // The opening quote belongs to the rest; the closing one will follow it.
          this.#keep(chunk.subarray(kept, position));
          kept = position;
        }
      } else {
        position = this.#readString(chunk, position);
      }
    }
    this.#keep(chunk.subarray(kept));
    return this.#room;
  }

  /**
   * @throws SignerError `ERR_JSON_MALFORMED`, `ERR_MEMBER_INVALID` when the JSON is no object
   */
  end(): SignRequestMembers {
    const members = parseJson(Buffer.concat(this.#rest));
    if (typeof members !== "object" || members === null || Array.isArray(members)) {
      throw new SignerError("ERR_MEMBER_INVALID", "Cannot read the request: its JSON is not an object");
    }
    const { [DOCUMENT]: document = null, hash = null } = members as Record<string, unknown>;
    if (document !== null && typeof document !== "string") {
      throw new SignerError("ERR_MEMBER_INVALID", `Cannot read the request: ${DOCUMENT} is not a string`);
    }
    return { hasDocument: document !== null, hash };
  }

  /** Reads to the beginning of a string or to the end of the chunk. */
  #readStructure(chunk: Buffer, start: number): number {
    for (let position = start; position < chunk.length; position += 1) {
      const byte = chunk[position] ?? 0;
      if (byte === QUOTE) {
        this.#beginString();
        return position + 1;
      }
      this.#step(byte);
    }
    return chunk.length;
  }

  #step(byte: number): void {
    if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
      this.#depth += 1;
      if (this.#depth > MAX_DEPTH) throw malformed(`it is nested deeper than ${MAX_DEPTH}`);
      if (this.#depth === 1) this.#topLevelIsObject = byte === OPEN_BRACE;
      this.#expectsName = this.#depth === 1 && this.#topLevelIsObject;
      if (this.#depth === 2) this.#lastName = undefined;
    } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
      this.#depth -= 1;
      this.#expectsName = false;
    } else if (byte === COMMA) {
      this.#expectsName = this.#depth === 1 && this.#topLevelIsObject;
      this.#lastName = undefined;
    } else if (byte !== COLON && !isSpace(byte)) {
      // A number or a literal: the value of the last name, whatever it was.
      if (this.#depth <= 1) this.#lastName = undefined;
    }
  }

  #beginString(): void {
    if (this.#expectsName) {
      this.#expectsName = false;
      this.#name = [];
      this.#state = "string";
    } else if (this.#depth === 1 && this.#lastName === DOCUMENT) {
      this.#lastName = undefined;
      this.#state = "document";
    } else {
      this.#state = "string";
    }
  }

  /** Reads to the end of a string that is kept, or to the end of the chunk. */
  #readString(chunk: Buffer, start: number): number {
    let isEscaped = this.#state === "escape";
    for (let position = start; position < chunk.length; position += 1) {
      const byte = chunk[position] ?? 0;
      if (isEscaped) isEscaped = false;
      else if (byte === BACKSLASH) isEscaped = true;
      else if (byte === QUOTE) {
        addPiece(this.#name, chunk.subarray(start, position));
        this.#endName();
        this.#state = "structure";
        return position + 1;
      }
    }
    this.#state = isEscaped ? "escape" : "string";
    addPiece(this.#name, chunk.subarray(start));
    return chunk.length;
  }

  #endName(): void {
    if (this.#name === undefined) return;
    const name = Buffer.concat(this.#name);
    this.#name = undefined;
    this.#lastName = name.includes(BACKSLASH) ? String(parseJson(quoted(name))) : name.toString("utf8");
    if (this.#seen.has(this.#lastName)) throw malformed("a name stands in it twice");
    this.#seen.add(this.#lastName);
  }

  /** Asks anew: the type checker would remember what the state was before a call that changes it. */
  #isReading(state: "document"): boolean {
    return this.#state === state;
  }

  /** Reads the document's characters to the closing quote, which is left, or to the end of the chunk. */
  #readDocument(chunk: Buffer, start: number): number {
    if (this.#state === "documentEscape") return this.#readDocumentEscape(chunk, start);
    // The backslash first: where there are many, each search for the quote would go over all of them.
    const backslash = indexOrEnd(chunk, BACKSLASH, start);
    const run = chunk.subarray(start, backslash);
    const length = indexOrEnd(run, QUOTE, 0);
    this.#base64.write(run.subarray(0, length));
    if (length < run.length) {
      this.#base64.end();
      this.#state = "string";
    } else if (backslash < chunk.length) {
      this.#state = "documentEscape";
      this.#documentEscape = "";
      return backslash + 1;
    }
    return start + length;
  }

  #readDocumentEscape(chunk: Buffer, start: number): number {
    this.#documentEscape += chunk.toString("latin1", start, start + 1);
    const letters = this.#documentEscape;
    if (letters.startsWith("u") && letters.length < 5) return start + 1;
    const character = letters.startsWith("u") ? unicodeEscape(letters) : ESCAPES[letters];
    if (character === undefined) throw malformed("it holds an escape that JSON does not know");
    this.#base64.write(Buffer.from(character));
    this.#state = "document";
    return start + 1;
  }

  #keep(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.#restLength += bytes.length;
    if (this.#restLength > MAX_REST) throw tooMuch();
    addPiece(this.#rest, bytes);
  }
}

/** Adds a copy: the bytes are a slice of a large buffer that should be freed. */
function addPiece(pieces: Buffer[] | undefined, bytes: Buffer): void {
  if (pieces === undefined) return;
  pieces.push(Buffer.from(bytes));
  // A piece costs memory beyond its bytes, and a client may send each of them alone.
  if (pieces.length >= MAX_PIECES) pieces.splice(0, MAX_PIECES, Buffer.concat(pieces));
}

function indexOrEnd(bytes: Buffer, byte: number, start: number): number {
  const index = bytes.indexOf(byte, start);
  return index === -1 ? bytes.length : index;
}

function unicodeEscape(letters: string): string | undefined {
  if (!/^u[\dA-Fa-f]{4}$/.test(letters)) return undefined;
  return String.fromCharCode(Number.parseInt(letters.slice(1), 16));
}

function quoted(text: Buffer): Buffer {
  const quote = Buffer.of(QUOTE);
  return Buffer.concat([quote, text, quote]);
}

function parseJson(bytes: Buffer): unknown {
  try {
    if (isUtf8(bytes)) return JSON.parse(bytes.toString("utf8"));
  } catch {
    // The parser's message quotes the input, which may be somebody's document.
  }
  throw malformed("it is not valid JSON in UTF-8");
}

function tooMuch(): SignerError {
  return malformed(`it holds more than ${MAX_REST} bytes beside ${DOCUMENT}`);
}

function malformed(state: string): SignerError {
  return new SignerError("ERR_JSON_MALFORMED", `Cannot read the request's JSON: ${state}`);
}
