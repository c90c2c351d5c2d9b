import { SignerError } from "../errors.ts";

/** Characters decoded at once, at most: a multiple of four that fits the scratch buffer. */
const MAX_CHARACTERS = 64 * 1024;

/**
 * Decodes base64 (RFC 4648 §4) as it arrives, strictly: padded, without line breaks, nothing else between.
 * Node's own decoder skips what it does not know, so it would hash another document than the one that was
 * meant.
 */
export class Base64Decoder {
  readonly #onBytes: (bytes: Buffer) => void;
  /** Made with the first characters: a request without a document needs none. */
  #scratch: Buffer | undefined;
  /** Up to three characters that wait for the rest of their group of four. */
  #pending = "";
  #ended = false;

  /** @param onBytes must be done with the bytes when it returns: they are overwritten by the next ones */
  constructor(onBytes: (bytes: Buffer) => void) {
    this.#onBytes = onBytes;
  }

  /**
   * @param text ASCII bytes
   * @throws SignerError `ERR_BASE64_MALFORMED`
   */
  write(text: Buffer): void {
    // A group that is cut is decoded alone: to put it before the rest would copy all of that once more.
    const begin = Math.min((4 - this.#pending.length) % 4, text.length);
    const end = text.length - ((text.length - begin) % 4);
    this.#complete(text.toString("latin1", 0, begin));
    for (let start = begin; start < end; start += MAX_CHARACTERS) {
      this.#decode(text.toString("latin1", start, Math.min(start + MAX_CHARACTERS, end)));
    }
    if (end < text.length) this.#pending = text.toString("latin1", end);
  }

  /** @throws SignerError `ERR_BASE64_MALFORMED` when characters are missing */
  end(): void {
    if (this.#pending !== "") throw malformed("its length is not a multiple of 4");
  }

  #complete(characters: string): void {
    this.#pending += characters;
    if (this.#pending.length < 4) return;
    const group = this.#pending;
    this.#pending = "";
    this.#decode(group);
  }

  /** @param groups of four characters */
  #decode(groups: string): void {
    if (this.#ended) throw malformed("it goes on after its padding");
    const padding = groups.endsWith("==") ? 2 : groups.endsWith("=") ? 1 : 0;
    this.#ended = padding > 0;
    this.#scratch ??= Buffer.allocUnsafeSlow((MAX_CHARACTERS / 4) * 3);
    const length = this.#scratch.write(groups, "base64");
    // A character that the decoder skips shows as a length that is too short; it takes "-" and "_" for "+"
    // and "/", which shows only by looking.
    if (length !== (groups.length / 4) * 3 - padding || groups.includes("-") || groups.includes("_")) {
      throw malformed("it holds a character that is not base64");
    }
    const bytes = this.#scratch.subarray(0, length);
    if (padding > 0) requireZeroBits(bytes, groups.slice(-4));
    this.#onBytes(bytes);
  }
}

/** The bits that the padding leaves over must be zero (RFC 4648 §3.5): otherwise characters were lost. */
function requireZeroBits(bytes: Buffer, lastGroup: string): void {
  const rest = bytes.subarray(bytes.length - (lastGroup.endsWith("==") ? 1 : 2));
  if (rest.toString("base64") !== lastGroup)
    throw malformed("its last characters hold bits that do not count");
}

function malformed(state: string): SignerError {
  return new SignerError("ERR_BASE64_MALFORMED", `Cannot decode encodedContents as base64: ${state}`);
}
