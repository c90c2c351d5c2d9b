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
  return Buffer.concat([Buffer.from([tag, ...lengthOctets(length)]), ...contents]);
}

/** SET OF: the encodings in ascending order (X.690 §11.6), under the tag given. */
export function setOf(tag: number, elements: readonly Uint8Array[]): Uint8Array {
  return tlv(tag, ...elements.toSorted(Buffer.compare));
}

/** The same value under another tag: an IMPLICIT [n] for the SET OF it replaces, or the other way round. */
export function retag(tag: number, der: Uint8Array): Uint8Array {
  const copy = new Uint8Array(der);
  copy[0] = tag;
  return copy;
}

/** The length of `tlv(…)` for contents of this length. */
export function tlvLength(contentsLength: number): number {
  return 1 + lengthOctets(contentsLength).length + contentsLength;
}

function lengthOctets(length: number): number[] {
  if (length < 0x80) return [length];
  const octets: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 0x100)) octets.unshift(rest % 0x100);
  return [0x80 + octets.length, ...octets];
}
