/**
 * The little of DER (X.690) that is written by hand: putting finished encodings together. Whatever has a
 * structure of its own comes out of pkijs and asn1js.
 */

export const TAG = {
  integer: 0x02,
  octetString: 0x04,
  sequence: 0x30,
  set: 0x31,
  /** Context-specific, constructed: [0] and [1]. */
  context0: 0xa0,
  context1: 0xa1,
} as const;

/** Tag, definite length in its shortest form, contents (X.690 §8.1.3, §10.1). */
export function tlv(tag: number, ...contents: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of contents) length += part.length;
  const der = Buffer.allocUnsafe(tlvLength(length));
  let position = der.length - length;
  writeHeader(der, position, tag, length);
  for (const part of contents) {
    der.set(part, position);
    position += part.length;
  }
  return der;
}

/** SET OF: the encodings in ascending order (X.690 §11.6), under the tag given. */
export function setOf(tag: number, elements: readonly Uint8Array[]): Uint8Array {
  return tlv(tag, ...(isAscending(elements) ? elements : elements.toSorted(Buffer.compare)));
}

/** The length of `tlv(…)` for contents of this length. */
export function tlvLength(contentsLength: number): number {
  return headerLength(contentsLength) + contentsLength;
}

/**
 * A value that is written from its end to its beginning. So the length that a header tells is that of what stands
 * behind it, and nothing is copied from one value into the next.
 */
export class DerWriter {
  readonly #bytes: Buffer;
  #start: number;

  /** @param capacity of all that will be written, in bytes */
  constructor(capacity: number) {
    this.#bytes = Buffer.allocUnsafe(capacity);
    this.#start = capacity;
  }

  /** Puts bytes before what is written. */
  prepend(bytes: Uint8Array): this {
    this.#start = this.#before(bytes.length);
    this.#bytes.set(bytes, this.#start);
    return this;
  }

  /** Puts a value before what is written; its encoding under another tag, an IMPLICIT [n] for the SET OF it replaces. */
  prependAs(tag: number, der: Uint8Array): this {
    this.prepend(der);
    this.#bytes[this.#start] = tag;
    return this;
  }

  /** Puts a value with these contents before what is written. */
  prependValue(tag: number, contents: Uint8Array): this {
    return this.prepend(contents).#prependHeader(tag, contents.length);
  }

  /** Makes all that is written the contents of one value. */
  enclose(tag: number): this {
    return this.#prependHeader(tag, this.#bytes.length - this.#start);
  }

  get written(): Uint8Array {
    return this.#bytes.subarray(this.#start);
  }

  #prependHeader(tag: number, length: number): this {
    const contentsStart = this.#start;
    this.#start = this.#before(headerLength(length));
    writeHeader(this.#bytes, contentsStart, tag, length);
    return this;
  }

  /** Where so many bytes begin that end where what is written begins. */
  #before(length: number): number {
    if (length > this.#start) throw new RangeError("Cannot write a value that is longer than its capacity");
    return this.#start - length;
  }
}

function isAscending(elements: readonly Uint8Array[]): boolean {
  return elements.every((element, index) => {
    const next = elements[index + 1];
    return next === undefined || Buffer.compare(element, next) <= 0;
  });
}

/** How many octets a length takes beside its first (X.690 §8.1.3.5). */
function lengthOctets(length: number): number {
  let octets = 0;
  if (length >= 0x80) for (let rest = length; rest > 0; rest = Math.floor(rest / 0x100)) octets += 1;
  return octets;
}

function headerLength(contentsLength: number): number {
  return 2 + lengthOctets(contentsLength);
}

/** Writes tag and length of contents right before where these begin. */
function writeHeader(der: Uint8Array, contentsStart: number, tag: number, length: number): void {
  const octets = lengthOctets(length);
  const first = contentsStart - octets - 1;
  der[first - 1] = tag;
  der[first] = octets === 0 ? length : 0x80 + octets;
  for (let at = contentsStart - 1, rest = length; at > first; at -= 1, rest = Math.floor(rest / 0x100)) {
    der[at] = rest % 0x100;
  }
}
