import { addPlaceholder, type ByteRange, signatureText } from "./demo_page/pdf_placeholder.js";
import { SAMPLE_RECTANGLE, samplePdf } from "./demo_page/sample_pdf.js";

/** A PDF that waits for its signature: ISO 32000-1 §12.8.1, with /ByteRange final and /Contents all zeros. */
export interface PreparedPdf {
  /** The whole file, placeholder included. */
  readonly bytes: Buffer;
  /** /ByteRange as written in the file: everything but the hexadecimal string of /Contents, `<` and `>` included. */
  readonly byteRange: ByteRange;
  /** The two segments of the byte range, joined: what is hashed (§12.8.3.3.1) and sent as `encodedContents`. */
  readonly signedBytes: Buffer;
}

export interface PreparePdfOptions {
  /** How long a DER SignedData may be, in bytes; what the Web SDK reserves when nothing is said. */
  readonly placeholderBytes?: number;
  /** Makes the file longer by a stream of so many bytes that nothing shows; 0 for none. */
  readonly paddingBytes?: number;
  /** For /M and /CreationDate; the file is a function of these options. */
  readonly now?: Date;
}

/**
 * Makes a one-page PDF with one signature field that can be seen, prepared as the demo page and the Web SDK
 * prepare a document for signing.
 *
 * @throws RangeError when a size is not a whole number, or there is no placeholder
 */
export async function preparePdf({
  paddingBytes = 0,
  now = new Date(),
  ...options
}: PreparePdfOptions = {}): Promise<PreparedPdf> {
  if (!Number.isSafeInteger(paddingBytes) || paddingBytes < 0) {
    throw new RangeError(`Cannot add ${paddingBytes} bytes of padding`);
  }
  const file = await samplePdf({ paddingBytes, now });
  const wanted = { ...options, now, reason: "I agree", rectangle: SAMPLE_RECTANGLE };
  return withPlaceholder(file, await addPlaceholder(file, wanted));
}

/** The file with what makes it wait for its signature. */
export function withPlaceholder(
  file: Uint8Array,
  { update, byteRange }: Awaited<ReturnType<typeof addPlaceholder>>,
): PreparedPdf {
  const bytes = Buffer.concat([file, update]);
  const [, firstEnd, secondStart] = byteRange;
  const signedBytes = Buffer.concat([bytes.subarray(0, firstEnd), bytes.subarray(secondStart)]);
  return { bytes, byteRange, signedBytes };
}

/**
 * The signed file: the SignedData as the hexadecimal string of /Contents, the rest of the placeholder zeros
 * (ISO 32000-1 §12.8.1, table 252, Contents). The prepared file is left as it is.
 *
 * @param der the SignedData, DER
 * @throws RangeError when it is longer than the placeholder
 */
export function embedSignature({ bytes, byteRange }: PreparedPdf, der: Uint8Array): Buffer {
  const text = signatureText(byteRange, der);
  const signed = Buffer.from(bytes);
  signed.write(text, byteRange[1], "latin1");
  return signed;
}
