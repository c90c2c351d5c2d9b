/**
 * A reader of DER (X.690), as far as a SignedData and its certificates go.
 *
 * @typedef {object} Der
 * @property {number} tag the identifier octet
 * @property {Uint8Array<ArrayBuffer>} bytes with tag and length
 * @property {Uint8Array<ArrayBuffer>} contents
 * @property {readonly Der[]} children of a constructed one
 */

export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
};

/**
 * Reads the value at the beginning of some bytes; what follows it, such as the zeros of a placeholder, is left.
 *
 * @param {Uint8Array<ArrayBuffer>} bytes
 * @returns {Der}
 * @throws Error when it is not DER
 */
export function readDer(bytes) {
  const [tag = 0, first = 0] = bytes;
  const octets = first < 0x80 ? 0 : first & 0x7f;
  if (bytes.length < 2 || (tag & 0x1f) === 0x1f || first === 0x80 || octets > 4) throw notDer();
  const length =
    octets === 0 ? first : bytes.slice(2, 2 + octets).reduce((value, octet) => value * 256 + octet, 0);
  const end = 2 + octets + length;
  if (end > bytes.length) throw notDer();
  const contents = bytes.subarray(2 + octets, end);
  return {
    tag,
    bytes: bytes.subarray(0, end),
    contents,
    children: (tag & 0x20) === 0 ? [] : readAll(contents),
  };
}

/** @param {Uint8Array<ArrayBuffer>} bytes */
function readAll(bytes) {
  /** @type {Der[]} */
  const values = [];
  for (let rest = bytes; rest.length > 0; ) {
    const value = readDer(rest);
    values.push(value);
    rest = rest.subarray(value.bytes.length);
  }
  return values;
}

/**
 * @param {Der} value
 * @param {...number} path indexes of children
 * @returns {Der}
 * @throws Error when there is none
 */
export function at(value, ...path) {
  let current = value;
  for (const index of path) {
    const child = current.children[index];
    if (child === undefined) throw notDer();
    current = child;
  }
  return current;
}

/** @param {Der} value an OBJECT IDENTIFIER */
export function oidOf({ contents }) {
  /** @type {number[]} */
  const arcs = [];
  let arc = 0;
  for (const octet of contents) {
    arc = arc * 128 + (octet & 0x7f);
    if (octet < 0x80) {
      arcs.push(arc);
      arc = 0;
    }
  }
  const [first = 0, ...rest] = arcs;
  const root = Math.min(Math.floor(first / 40), 2);
  return [root, first - 40 * root, ...rest].join(".");
}

/** @param {Der} value a UTCTime or GeneralizedTime as DER has them, in UTC, to the second */
export function timeOf({ tag, contents }) {
  const text = String.fromCharCode(...contents);
  const match = /^(\d{2}|\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z$/.exec(text);
  if (match === null) throw notDer();
  const [year = 0, month = 0, ...rest] = match.slice(1).map(Number);
  // RFC 5280 §4.1.2.5.1
  const full = tag === TAG.utcTime ? year + (year < 50 ? 2000 : 1900) : year;
  return new Date(Date.UTC(full, month - 1, ...rest));
}

/** @param {Der} value a string of X.520 */
export function textOf({ tag, contents }) {
  if (tag === 0x1e) return new TextDecoder("utf-16be").decode(contents);
  return new TextDecoder(tag === 0x14 ? "latin1" : "utf-8").decode(contents);
}

/**
 * @param {Uint8Array} one
 * @param {Uint8Array} other
 */
export function isSame(one, other) {
  return one.length === other.length && one.every((octet, index) => octet === other[index]);
}

function notDer() {
  return new Error("It is not DER");
}
