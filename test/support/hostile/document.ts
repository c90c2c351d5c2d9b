import type { ErrorCode } from "../../../lib/errors.ts";
import {
  DOCUMENT,
  ENCODED,
  HASH,
  type HostileRow,
  JSON_TYPE,
  MAX_BODY_BYTES,
  PDF_TYPE,
  refused,
  sha256,
  signed,
} from "./row.ts";

/** Texts for `encodedContents`, as they stand between the quotes, that are not base64. */
const NOT_BASE64: readonly (readonly [string, string])[] = [
  ["base64 without its padding", "QQ"],
  ["base64 with half of its padding", "QQ="],
  ["a single character", "Q"],
  ["padding alone", "===="],
  ["one padding character alone", "="],
  ["three padding characters", "Q==="],
  ["padding at the beginning", "=QQ="],
  ["padding in the middle", "QQ==QUJD"],
  ["padding within a group", "QU=D"],
  ["padding after the padding", "QQ======"],
  ["characters after the padding", "QUI=Q"],
  ["the alphabet for URLs, -", "QUJ-"],
  ["the alphabet for URLs, _", "QUJ_"],
  ["the alphabet for URLs without padding", "_-8"],
  ["a space", "QU JD"],
  ["a group of spaces", "QUJD    QUJD"],
  ["a space at the end", "QUJD "],
  ["a tab, escaped", "QUJD\\tQUJD"],
  ["a line break, escaped", "QUJD\\r\\nQUJD"],
  ["a line break at the end, escaped", "QUJD\\n"],
  ["a line break, not escaped", "QUJD\nQUJD"],
  ["four line feeds, not escaped", "QUJD\n\n\n\nQUJD"],
  ["bits that the padding leaves over, one byte", "QR=="],
  ["bits that the padding leaves over, two bytes", "QUJ="],
  ["bits that the padding leaves over, all of them", "Q/=="],
  ["a NUL, escaped", "QUJ\\u0000"],
  ["a NUL, not escaped", "QUJ\u0000"],
  ["a letter that is not ASCII", "QUJ\u00e4"],
  ["full-width letters", "\uff31\uff35\uff2a\uff24"],
  ["full-width letters, escaped", "\\uff31\\uff35\\uff2a\\uff24"],
  ["lone surrogates", "\\ud800\\ud800"],
  ["a quote, escaped", 'QUJ\\"'],
  ["a backslash, escaped", "QUJ\\\\"],
  ["a data URL", `data:application/pdf;base64,${ENCODED}`],
  ["PEM", `-----BEGIN-----\\n${ENCODED}`],
  ["hexadecimal of odd length", "abc"],
  ["a JSON array of bytes as text", "[37,80]"],
  ["the text null", "null!"],
  ["undefined.toString()", "[object Undefined]"],
  ["base64 of a document that breaks off", ENCODED.slice(0, -1)],
];

/** The same document, spelled in other ways that JSON knows. */
const SPELLINGS: readonly (readonly [string, string, string])[] = [
  ["slashes as \\/", "\\/\\/\\/\\/", sha256(Buffer.from("////", "base64"))],
  ["slashes as they are", "////", sha256(Buffer.from("////", "base64"))],
  ["every character escaped", "\\u0051\\u0055\\u004a\\u0044", sha256("ABC")],
  ["escapes in lower and upper case", "\\u002f\\u002F\\/\\u002b", sha256(Buffer.from("///+", "base64"))],
  ["padding escaped", "QQ\\u003d\\u003D", sha256("A")],
  ["a document of 180,000 bytes", "QUJD".repeat(60_000), sha256("ABC".repeat(60_000))],
];

const fullWidth = (text: string): string =>
  text.replace(/[\dA-Za-z]/g, (letter) => String.fromCharCode(letter.charCodeAt(0) + 0xfee0));

const WRONG_HASHES: readonly (readonly [string, string])[] = [
  ["an empty hash", ""],
  ["a hash that is too short by two digits", HASH.slice(2)],
  ["a hash that is too long by two digits", `${HASH}00`],
  ["a hash of odd length", HASH.slice(1)],
  ["a hash with a letter g", `g${HASH.slice(1)}`],
  ["a hash with 0x before it", `0x${HASH}`],
  ["a hash of the right length with 0x before it", `0x${HASH.slice(2)}`],
  ["a hash with a space before it", ` ${HASH}`],
  ["a hash with a space in it", ` ${HASH.slice(1)}`],
  ["a hash with a line feed after it", `${HASH}\\n`],
  ["a hash of 63 digits and a line feed", `${HASH.slice(1)}\\n`],
  ["a hash with colons", HASH.slice(0, 43).replace(/../g, "$&:")],
  ["a hash with a NUL", `\\u0000${HASH.slice(1)}`],
  ["a hash in full-width digits", fullWidth(HASH)],
  ["a hash in Arabic-Indic digits", "\u0660".repeat(64)],
  ["a hash of lone surrogates", "\\ud800".repeat(64)],
  ["a hash in base64", Buffer.from(HASH, "hex").toString("base64")],
  ["the SHA-1 of the document", HASH.slice(0, 40)],
  ["the SHA-512 of the document", `${HASH}${HASH}`],
  ["a hash of 60,000 digits", "0".repeat(60_000)],
];

const both = (encoded: string, hash: string): string => JSON.stringify({ encodedContents: encoded, hash });
const MISMATCHES: readonly (readonly [string, string, ErrorCode])[] = [
  ["the hash of another document", both(ENCODED, sha256("another")), "ERR_DIGEST_MISMATCH"],
  ["the hash of the base64 text", both(ENCODED, sha256(ENCODED)), "ERR_DIGEST_MISMATCH"],
  [
    "a hash that differs in its last digit",
    both(
      "QUJD",
      sha256("ABC").replace(/.$/, (d) => (d === "0" ? "1" : "0")),
    ),
    "ERR_DIGEST_MISMATCH",
  ],
  ["the hash of nothing, for a document", both(ENCODED, sha256("")), "ERR_DIGEST_MISMATCH"],
  ["a bad hash, for a document", both(ENCODED, "0"), "ERR_DIGEST_INVALID"],
  ["an empty document", '{"encodedContents":""}', "ERR_DOCUMENT_EMPTY"],
  ["an empty document with its hash", both("", sha256("")), "ERR_DOCUMENT_EMPTY"],
];

/** What is inside `encodedContents` and `hash`, and documents that are sent as they are. */
export const DOCUMENTS: readonly HostileRow[] = [
  ...NOT_BASE64.map(([name, text]) =>
    refused(
      `${name} for the document`,
      { headers: JSON_TYPE, body: `{"encodedContents":"${text}"}` },
      400,
      "ERR_BASE64_MALFORMED",
    ),
  ),
  refused(
    "good base64 for the document and bad base64 after 100,000 characters",
    { headers: JSON_TYPE, body: `{"encodedContents":"${"QUJD".repeat(25_000)}*AAA"}` },
    400,
    "ERR_BASE64_MALFORMED",
  ),
  ...SPELLINGS.map(([name, text, digest]) =>
    signed(name, { headers: JSON_TYPE, body: `{"encodedContents":"${text}"}` }, {}, digest),
  ),
  ...WRONG_HASHES.map(([name, hash]) =>
    refused(name, { headers: JSON_TYPE, body: `{"hash":"${hash}"}` }, 422, "ERR_DIGEST_INVALID"),
  ),
  ...[HASH.toUpperCase(), HASH.replace(/[a-f]/, (letter) => letter.toUpperCase())].map((hash) =>
    signed(`the hash ${hash}`, { headers: JSON_TYPE, body: `{"hash":"${hash}"}` }),
  ),
  ...MISMATCHES.map(([name, body, code]) => refused(name, { headers: JSON_TYPE, body }, 422, code)),
  refused("an empty PDF", { headers: PDF_TYPE }, 422, "ERR_DOCUMENT_EMPTY"),
  refused(
    "an empty PDF of Content-Length 0",
    { headers: { ...PDF_TYPE, "Content-Length": "0" } },
    422,
    "ERR_DOCUMENT_EMPTY",
  ),
  refused(
    "an empty PDF in no chunks",
    { headers: { ...PDF_TYPE, "Transfer-Encoding": "chunked" }, body: "0\r\n\r\n" },
    422,
    "ERR_DOCUMENT_EMPTY",
  ),
  signed("a PDF of one NUL", { headers: PDF_TYPE, body: "\u0000" }, {}, sha256("\u0000")),
  signed("JSON that is called a PDF", { headers: PDF_TYPE, body: DOCUMENT }),
  signed(
    "a PDF of the largest size",
    { headers: PDF_TYPE, body: Buffer.alloc(MAX_BODY_BYTES) },
    {},
    sha256(Buffer.alloc(MAX_BODY_BYTES)),
  ),
  refused(
    "a PDF that is one byte too large",
    { headers: PDF_TYPE, body: Buffer.alloc(MAX_BODY_BYTES + 1) },
    413,
    "ERR_BODY_TOO_LARGE",
    { connection: "close" },
  ),
];
