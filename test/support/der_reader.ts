/** A reader for tests that is not the code under test: tag, contents and the bytes themselves. */
export interface DerValue {
  readonly tag: number;
  readonly bytes: Buffer;
  readonly contents: Buffer;
  /** The values inside, of a constructed one. */
  readonly children: readonly DerValue[];
}

/**
 * Reads one value and requires DER of it: definite, shortest lengths, SET OF in order, nothing after the end.
 *
 * @throws Error that says where it is not DER
 */
export function readDer(bytes: Uint8Array): DerValue {
  const [value, ...more] = readAll(Buffer.from(bytes));
  if (value === undefined || more.length > 0)
    throw new Error(`${more.length + 1} values where one is expected`);
  return value;
}

function readAll(bytes: Buffer): DerValue[] {
  const values: DerValue[] = [];
  for (let rest = bytes; rest.length > 0; ) {
    const value = readFirst(rest);
    values.push(value);
    rest = rest.subarray(value.bytes.length);
  }
  return values;
}

function readFirst(bytes: Buffer): DerValue {
  const [tag = 0, first = 0] = bytes;
  if ((tag & 0x1f) === 0x1f) throw new Error("a tag in several bytes");
  const octets = first < 0x80 ? 0 : first & 0x7f;
  if (first === 0x80) throw new Error("an indefinite length");
  const length = octets === 0 ? first : bytes.readUIntBE(2, octets);
  if (octets > 0 && (length < 0x80 || (octets > 1 && bytes[2] === 0)))
    throw new Error("a length in too many bytes");
  const end = 2 + octets + length;
  if (end > bytes.length) throw new Error("a value longer than what holds it");
  const contents = bytes.subarray(2 + octets, end);
  const children = (tag & 0x20) === 0 ? [] : readAll(contents);
  const value = { tag, bytes: bytes.subarray(0, end), contents, children };
  if (tag === 0x31 && !isSorted(value)) throw new Error("a SET OF out of order");
  return value;
}

/** Whether the values inside stand in the order of DER (X.690 §11.6); for a SET OF under an IMPLICIT tag too. */
export function isSorted({ children }: DerValue): boolean {
  return children.every(
    (child, index) =>
      index === 0 || Buffer.compare(children[index - 1]?.bytes ?? child.bytes, child.bytes) <= 0,
  );
}

/** The value at a path of indexes. */
export function at(value: DerValue, ...path: readonly number[]): DerValue {
  let current = value;
  for (const index of path) {
    const child = current.children[index];
    if (child === undefined) throw new Error(`no value at ${path.join(".")}`);
    current = child;
  }
  return current;
}

/** The dotted form of an OBJECT IDENTIFIER. */
export function oid({ contents }: DerValue): string {
  const [first = 0, ...rest] = contents;
  const arcs = [Math.min(Math.floor(first / 40), 2), first - 40 * Math.min(Math.floor(first / 40), 2)];
  let arc = 0;
  for (const byte of rest) {
    arc = arc * 128 + (byte & 0x7f);
    if (byte < 0x80) {
      arcs.push(arc);
      arc = 0;
    }
  }
  return arcs.join(".");
}
