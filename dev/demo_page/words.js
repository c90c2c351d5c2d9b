/**
 * @import { Step } from "./sign_file.js"
 * @import { SignatureReport } from "./signature.d.ts"
 */

/**
 * For those who hear the page.
 *
 * @type {Readonly<Record<Step, string>>}
 */
export const STEPS = {
  read: "Reading the file.",
  prepare: "Adding a place for the signature.",
  hash: "Hashing the file.",
  sign: "Waiting for the signature.",
  check: "Verifying the signed file.",
};

/** @param {number} bytes */
export function sizeShown(bytes) {
  if (bytes < 1_000) return `${bytes} bytes`;
  const [unit, factor] = bytes < 1_000_000 ? ["kB", 1_000] : ["MB", 1_000_000];
  return `${(bytes / factor).toLocaleString("en", { maximumFractionDigits: 1 })} ${unit}`;
}

/** @param {number} milliseconds */
export function durationShown(milliseconds) {
  return milliseconds < 1_000 ? `${Math.round(milliseconds)} ms` : `${(milliseconds / 1_000).toFixed(1)} s`;
}

/** @param {SignatureReport} report */
export function describeReport({ isVerified, subjectCalled, time }) {
  if (!isVerified) {
    return {
      title: "Signed, but the signature does not verify",
      text: "Do not use this file. What did not hold is said below.",
    };
  }
  return {
    title: "Signed and verified",
    text: `By ${subjectCalled}${time === undefined ? "" : `, ${timeShown(time)}`}.`,
  };
}

/**
 * @param {SignatureReport} report
 * @param {string} hash
 * @returns {{ name: string, value: string, note?: string, isDigits?: boolean }[]}
 */
export function describeFacts(report, hash) {
  const { isSelfSigned, time, certificates } = report;
  return [
    { name: "Signer", value: report.subjectCalled, note: report.subject },
    {
      name: "Time",
      value: time === undefined ? "not said" : timeShown(time),
      note: "by the clock of the signing service",
    },
    { name: "Algorithm", value: report.algorithm },
    {
      name: "Issued by",
      value: isSelfSigned ? "itself (self-signed)" : report.issuerCalled,
      ...(isSelfSigned ? {} : { note: report.issuer }),
    },
    { name: "Certificate valid", value: `${dayShown(report.notBefore)} to ${dayShown(report.notAfter)}` },
    { name: "Serial number", value: report.serialNumber, isDigits: true },
    { name: "Certificate SHA-256", value: report.fingerprint, isDigits: true },
    { name: "Digest of the file", value: hash, isDigits: true },
    {
      name: "On the wire",
      value: `${JSON.stringify({ hash }).length} bytes there, ${report.containerBytes.toLocaleString("en")} bytes back`,
      note: `a SignedData with ${certificates} ${certificates === 1 ? "certificate" : "certificates"}; nothing else of the file`,
    },
  ];
}

/** @param {Date} date */
function dayShown(date) {
  return date.toLocaleDateString("en", { dateStyle: "medium" });
}

/** @param {Date} date */
function timeShown(date) {
  return date.toLocaleString("en", { dateStyle: "medium", timeStyle: "long" });
}
