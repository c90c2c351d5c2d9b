import { sha256 } from "./bytes.js";
import { PdfError } from "./pdf_error.js";
import { addPlaceholder, signatureText } from "./pdf_placeholder.js";
import { verifySignedData } from "./signature.js";

/**
 * @import { ByteRange, PlaceholderOptions } from "./pdf_placeholder.d.ts"
 * @import { SignatureReport } from "./signature.d.ts"
 *
 * @typedef {"read" | "prepare" | "hash" | "sign" | "check"} Step
 *
 * @typedef {object} SigningOptions
 * @property {Blob} file
 * @property {(given: { hash: string }) => Promise<ArrayBuffer>} sign gives the SignedData over a digest
 * @property {PlaceholderOptions} [placeholder]
 * @property {(step: Step, part?: number) => void} onStep begins a step, or says how much of it is done, from 0 to 1
 * @property {AbortSignal} signal
 *
 * @typedef {object} SignedFile
 * @property {Blob} file
 * @property {SignatureReport} report
 * @property {string} hash that was signed
 */

/** A browser hashes what is in memory as a whole. */
const LARGEST_FILE = 1024 ** 3;
const SLICE = 4 * 1024 * 1024;
/** For what is appended, so that a large file need not be copied to make room for it. */
const ROOM = 256 * 1024;

/**
 * Signs a PDF as the Web SDK does it: what leaves the browser is a digest. The finished file is read again from its
 * beginning, and its signature verified.
 *
 * @param {SigningOptions} options
 * @returns {Promise<SignedFile>}
 * @throws PdfError for files that cannot be signed, and what `sign` throws
 */
export async function signFile({ file, sign, placeholder, onStep, signal }) {
  if (!globalThis.crypto?.subtle) {
    throw new PdfError("Browsers hash only for pages that come by https, or from the machine itself.");
  }
  if (file.size > LARGEST_FILE)
    throw new PdfError("This file is larger than 1 GiB, which is too much for this page.");
  const buffer = memory(file.size + ROOM);
  onStep("read");
  await readInto(buffer, 0, file, signal, (part) => onStep("read", part));
  onStep("prepare");
  const { update, byteRange } = await addPlaceholder(buffer.subarray(0, file.size), placeholder);
  onStep("hash");
  const [, start, end, rest] = byteRange;
  const head = update.subarray(0, start - file.size);
  const tail = update.subarray(end - file.size);
  const signedBytes = roomFor(start + rest, buffer, file.size);
  signedBytes.set(head, file.size);
  signedBytes.set(tail, start);
  const hash = await sha256(signedBytes.subarray(0, start + rest));
  signal.throwIfAborted();
  onStep("sign");
  const container = new Uint8Array(await sign({ hash }));
  const signed = new Blob([file, head, signatureText(byteRange, container), tail], {
    type: "application/pdf",
  });
  onStep("check");
  const report = await verifyFile(signed, byteRange, signedBytes, signal, (part) => onStep("check", part));
  return { file: signed, report, hash };
}

/**
 * @param {Blob} file
 * @param {ByteRange} byteRange
 * @param {Uint8Array<ArrayBuffer>} buffer to read it into
 * @param {AbortSignal} signal
 * @param {(part: number) => void} onPart
 */
async function verifyFile(file, [, start, end, rest], buffer, signal, onPart) {
  if (end + rest !== file.size) throw new Error("The signature does not cover the whole file");
  await readInto(buffer, 0, file.slice(0, start), signal, onPart);
  await readInto(buffer, start, file.slice(end), signal);
  const digits = (await file.slice(start + 1, end - 1).text()).match(/../g) ?? [];
  const container = Uint8Array.from(digits, (pair) => Number.parseInt(pair, 16));
  return verifySignedData(container, buffer.subarray(0, start + rest)).catch((error) => {
    throw new PdfError(`What the service sent is no signature that is known here. ${error.message}.`);
  });
}

/**
 * @param {Uint8Array<ArrayBuffer>} buffer
 * @param {number} place in it
 * @param {Blob} file
 * @param {AbortSignal} signal
 * @param {(part: number) => void} [onPart]
 */
async function readInto(buffer, place, file, signal, onPart) {
  for (let at = 0; at < file.size; at += SLICE) {
    signal.throwIfAborted();
    const slice = await file
      .slice(at, at + SLICE)
      .arrayBuffer()
      .catch(unreadable);
    buffer.set(new Uint8Array(slice), place + at);
    onPart?.(Math.min((at + SLICE) / file.size, 1));
  }
}

/** @returns {never} */
function unreadable() {
  throw new PdfError("This file cannot be read any more. Was it moved, or changed meanwhile?");
}

/** @param {number} length */
function memory(length) {
  try {
    return new Uint8Array(length);
  } catch {
    throw new PdfError("There is not enough memory for this file.");
  }
}

/**
 * @param {number} length
 * @param {Uint8Array<ArrayBuffer>} buffer
 * @param {number} used of it
 */
function roomFor(length, buffer, used) {
  if (length <= buffer.length) return buffer;
  const larger = memory(length);
  larger.set(buffer.subarray(0, used));
  return larger;
}
