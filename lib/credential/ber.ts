/**
 * The little of BER (X.690) that is needed to find certificates in what holds them, and to say what is held
 * instead; their bytes are kept as they are, and read by others. BER and not DER, since some CAs write PKCS#7
 * with indefinite lengths.
 */

/** One value: its first byte, and what stands in it. */
export interface BerValue {
  readonly tag: number;
  /** All of it, tag and length included. */
  readonly bytes: Uint8Array;
  readonly contents: Uint8Array;
}

const INDEFINITE = -1;

interface Header {
  readonly tag: number;
  /** Of tag and length. */
  readonly length: number;
  readonly contentsLength: number;
}

/**
 * The values that stand one after the other.
 *
 * @throws RangeError when the bytes are anything else
 */
export function berValues(bytes: Uint8Array): BerValue[] {
  const values: BerValue[] = [];
  for (let start = 0; start < bytes.length; ) {
    const value = firstValue(bytes.subarray(start));
    values.push(value);
    start += value.bytes.length;
  }
  return values;
}

const CONSTRUCTED = 0x20;

/** The values inside of a constructed one; none where there are none, or where what is inside cannot be read. */
export function berChildren(value: BerValue | undefined): BerValue[] {
  if (value === undefined || (value.tag & CONSTRUCTED) === 0) return [];
  try {
    return berValues(value.contents);
  } catch {
    return [];
  }
}

function firstValue(bytes: Uint8Array): BerValue {
  const { tag, length, contentsLength } = readHeader(bytes, 0);
  if (contentsLength === INDEFINITE) {
    const end = endOfIndefinite(bytes, length);
    return { tag, bytes: bytes.subarray(0, end), contents: bytes.subarray(length, end - 2) };
  }
  const end = length + contentsLength;
  if (end > bytes.length) throw new RangeError(`it is cut off: ${end - bytes.length} bytes are missing`);
  return { tag, bytes: bytes.subarray(0, end), contents: bytes.subarray(length, end) };
}

/** Where the end-of-contents octets end that belong to the value whose contents begin here. */
function endOfIndefinite(bytes: Uint8Array, contentsStart: number): number {
  let position = contentsStart;
  for (let open = 1; open > 0; ) {
    const { tag, length, contentsLength } = readHeader(bytes, position);
    position += length + Math.max(contentsLength, 0);
    if (contentsLength === INDEFINITE) open += 1;
    else if (tag === 0) open -= 1;
  }
  return position;
}

function readHeader(bytes: Uint8Array, start: number): Header {
  const [tag, first] = bytes.subarray(start, start + 2);
  if (tag === undefined || first === undefined) throw new RangeError("it is cut off");
  if ((tag & 0x1f) === 0x1f) throw new RangeError("it has a tag that nothing in a certificate has");
  if (first < 0x80) return { tag, length: 2, contentsLength: first };
  if (first === 0x80) return { tag, length: 2, contentsLength: INDEFINITE };
  const count = first & 0x7f;
  const octets = bytes.subarray(start + 2, start + 2 + count);
  const contentsLength = octets.reduce((length, octet) => length * 0x100 + octet, 0);
  return { tag, length: 2 + count, contentsLength };
}
