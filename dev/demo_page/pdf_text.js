/**
 * What stands between the parentheses of a string: ISO 32000-1 §7.3.4.2.
 *
 * @param {string} text
 */
export function escaped(text) {
  return text.replace(/[\\()]/g, "\\$&");
}

/**
 * A date, §7.9.4, in UTC, to the second.
 *
 * @param {Date} date
 */
export function pdfDate(date) {
  return `D:${date.toISOString().replace(/\D/g, "").slice(0, 14)}+00'00'`;
}
