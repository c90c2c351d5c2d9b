/** A file that cannot be signed here. The message is a sentence for whoever picked it. */
export class PdfError extends Error {
  /** @param {string} message */
  constructor(message) {
    super(message);
    this.name = "PdfError";
  }

  /**
   * @param {string} what half a sentence about what is wrong with it
   * @returns {PdfError}
   */
  static broken(what) {
    return new PdfError(`This PDF is damaged: ${what}.`);
  }
}
