/** Types of sample_pdf.js, for Node. */

export interface SamplePdfOptions {
  /** Makes the file longer by a stream of so many bytes that nothing shows; 0 for none. */
  readonly paddingBytes?: number;
  /** For /CreationDate; the file is a function of these options. */
  readonly now?: Date;
}

/** Where the page of the sample wants its signature: left, bottom, right, top, in points. */
export declare const SAMPLE_RECTANGLE: readonly [number, number, number, number];

/** A one-page PDF 1.7 without a signature, with a line to sign on. */
export declare function samplePdf(options?: SamplePdfOptions): Promise<Uint8Array<ArrayBuffer>>;
