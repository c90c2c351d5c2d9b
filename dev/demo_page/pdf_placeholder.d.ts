/** Types of pdf_placeholder.js, for Node. */

/** Offset and length of the bytes before the placeholder, offset and length of those after it. */
export type ByteRange = [number, number, number, number];

export interface PlaceholderOptions {
  /** How long a DER SignedData may be, in bytes; twice as many hexadecimal digits are reserved. */
  readonly placeholderBytes?: number;
  /** For /M. */
  readonly now?: Date;
  /** For /Reason; ASCII. */
  readonly reason?: string;
  /** Where the signature is seen on the first page: left, bottom, right, top, in points. It is not seen otherwise. */
  readonly rectangle?: readonly [number, number, number, number];
}

/** What makes of a file one that waits for its signature. */
export interface Placeholder {
  /** To be appended to the file, which stays as it is. */
  readonly update: Uint8Array<ArrayBuffer>;
  /** /ByteRange as written in it: everything but the hexadecimal string of /Contents, `<` and `>` included. */
  readonly byteRange: ByteRange;
}

/** What the Web SDK reserves when it is not told otherwise. */
export declare const WEB_SDK_PLACEHOLDER_BYTES: number;

/**
 * Adds a signature field with a placeholder to any PDF that is neither damaged nor encrypted: an incremental update
 * (ISO 32000-1 §7.5.6) with a widget that is its own /Sig field (§12.7.4.5) on the first page, and a signature
 * dictionary (§12.8.1, table 252) with /SubFilter /adbe.pkcs7.detached. Signatures that are there stay valid.
 *
 * @throws PdfError with a sentence for whoever picked the file
 * @throws RangeError when there is no placeholder
 */
export declare function addPlaceholder(
  file: Uint8Array<ArrayBuffer>,
  options?: PlaceholderOptions,
): Promise<Placeholder>;

/**
 * The hexadecimal string that /Contents gets, as long as the placeholder: `<`, the SignedData, zeros, `>`.
 *
 * @param der the SignedData, DER
 * @throws RangeError when it is longer than the placeholder
 */
export declare function signatureText(byteRange: ByteRange, der: Uint8Array): string;
