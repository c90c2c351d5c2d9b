/**
 * The two encodings of an ECDSA signature: r‖s with both integers at the curve's full length, as PKCS#11
 * (v2.40 §2.3.1) and WebCrypto give it, and the DER `ECDSA-Sig-Value ::= SEQUENCE { r INTEGER, s INTEGER }`
 * of RFC 3279 §2.2.3, as X.509 and CMS carry it.
 *
 * It stands apart from the ASN.1 corner because the tables of `algorithms.ts` need it and it needs nothing.
 */
export function ecdsaSignatureToDer(signature: Uint8Array): Uint8Array {
  if (signature.length === 0 || signature.length % 2 !== 0) {
    throw new RangeError(`Cannot split an ECDSA signature of ${signature.length} bytes into r and s`);
  }
  const half = signature.length / 2;
  const r = magnitudeOf(signature, 0, half);
  const s = magnitudeOf(signature, half, signature.length);
  const length = 4 + signLength(r) + r.length + signLength(s) + s.length;
  const header = length < 0x80 ? [0x30, length] : [0x30, 0x81, length];
  const der = Buffer.alloc(header.length + length);
  der.set(header);
  writeInteger(der, writeInteger(der, header.length, r), s);
  return der;
}

/** The digits of a big-endian integer without leading zeros; of 0 one. */
function magnitudeOf(bytes: Uint8Array, start: number, end: number): Uint8Array {
  let first = start;
  while (first < end - 1 && bytes[first] === 0) first += 1;
  return bytes.subarray(first, end);
}

/** Of the byte that says that an integer is not negative. */
function signLength(magnitude: Uint8Array): number {
  return (magnitude[0] ?? 0) >= 0x80 ? 1 : 0;
}

/** Writes a minimal two's complement (X.690 §8.3.2), of at most 127 bytes, and says where it ends. */
function writeInteger(der: Uint8Array, start: number, magnitude: Uint8Array): number {
  const length = signLength(magnitude) + magnitude.length;
  der[start] = 0x02;
  der[start + 1] = length;
  const end = start + 2 + length;
  der.set(magnitude, end - magnitude.length);
  return end;
}

/**
 * The way back.
 *
 * @param coordinateLength of the curve, in bytes
 * @returns `undefined` for anything else than the DER of an ECDSA-Sig-Value whose integers fit
 */
export function ecdsaSignatureFromDer(der: Uint8Array, coordinateLength: number): Uint8Array | undefined {
  const contents = der.subarray(der[1] === 0x81 ? 3 : 2);
  const r = contents.subarray(2, 2 + (contents[1] ?? 0));
  const s = contents.subarray(r.length + 4);
  if (r.length > coordinateLength + 1 || s.length > coordinateLength + 1) return undefined;
  const raw = Buffer.concat([r, s].map((integer) => fullLength(integer, coordinateLength)));
  // Whatever was not looked at differs from what is made of r and s again.
  return raw.length === 2 * coordinateLength && Buffer.from(ecdsaSignatureToDer(raw)).equals(der)
    ? raw
    : undefined;
}

/** An integer of a DER value in so many bytes; its sign's byte, if that is what is over, is left out. */
function fullLength(integer: Uint8Array, length: number): Uint8Array {
  const digits = integer.length > length ? integer.subarray(integer.length - length) : integer;
  return Buffer.concat([Buffer.alloc(length - digits.length), digits]);
}
