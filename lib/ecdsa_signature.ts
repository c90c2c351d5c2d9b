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
  const r = derInteger(signature.subarray(0, half));
  const s = derInteger(signature.subarray(half));
  const length = r.length + s.length;
  const header = length < 0x80 ? [0x30, length] : [0x30, 0x81, length];
  return Buffer.concat([Buffer.from(header), r, s]);
}

/** Minimal two's complement of a non-negative big-endian integer (X.690 §8.3.2). At most 127 bytes. */
function derInteger(magnitude: Uint8Array): Uint8Array {
  let start = 0;
  while (start < magnitude.length - 1 && magnitude[start] === 0) start += 1;
  const digits = magnitude.subarray(start);
  const padding = (digits[0] ?? 0) >= 0x80 ? [0] : [];
  return Buffer.concat([Buffer.from([0x02, padding.length + digits.length, ...padding]), digits]);
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
