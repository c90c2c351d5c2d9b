import { lacks } from "../../../lib/runtime.ts";
import {
  DOCUMENT,
  GOOD,
  GOOD_BODY,
  HASH,
  type HostileRow,
  JSON_TYPE,
  MAX_BODY_BYTES,
  PDF_TYPE,
  refused,
  sha256,
  signed,
} from "./row.ts";

const numbered = (count: number): Record<string, string> =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`X-${index}`, "x"]));

/** A request head, line by line, with a body of four bytes that its framing may or may not announce. */
const lines = (...head: readonly string[]): Buffer => Buffer.from(`${head.join("\r\n")}\r\n\r\nabcd`);
const POST = "POST /sign HTTP/1.1";
const HOST = "Host: service.test";
const PDF = "Content-Type: application/pdf";
const LENGTH = "Content-Length: 4";

const MALFORMED: readonly (readonly [string, Buffer])[] = [
  ["no Host", lines(POST, PDF, LENGTH)],
  ["two Host fields", lines(POST, HOST, HOST, PDF, LENGTH)],
  ["HTTP/2.0", lines("POST /sign HTTP/2.0", HOST, PDF, LENGTH)],
  ["HTTP/1.2", lines("POST /sign HTTP/1.2", HOST, PDF, LENGTH)],
  ["HTTP/0.9", Buffer.from("GET /healthz\r\n\r\n")],
  ["a version in lower case", lines("POST /sign http/1.1", HOST, PDF, LENGTH)],
  ["another protocol", lines("POST /sign FTP/1.0", HOST, PDF, LENGTH)],
  ["the preface of HTTP/2", Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")],
  ["TLS", Buffer.from("1603010200010001fc0303", "hex")],
  ["binary garbage", Buffer.from(Array.from({ length: 256 }, (_, index) => 255 - index))],
  ["a reply", Buffer.from("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")],
  ["bare line feeds", Buffer.from(`${POST}\n${HOST}\n${PDF}\n${LENGTH}\n\nabcd`)],
  ["a bare carriage return in a field", lines(POST, `${HOST}\rX: y`, PDF, LENGTH)],
  ["a NUL in a field", lines(POST, HOST, PDF, LENGTH, "X: \u0000")],
  ["a NUL in a name", lines(POST, HOST, PDF, LENGTH, "X\u0000: x")],
  ["a space before the colon", lines(POST, HOST, PDF, LENGTH, "X : x")],
  ["a field without a colon", lines(POST, HOST, PDF, LENGTH, "X")],
  ["a field without a name", lines(POST, HOST, PDF, LENGTH, ": x")],
  ["a folded field", lines(POST, HOST, PDF, LENGTH, "X: x", " y")],
  ["a space before the first field", lines(POST, ` ${HOST}`, PDF, LENGTH)],
  ["Content-Length before chunks", lines(POST, HOST, PDF, LENGTH, "Transfer-Encoding: chunked")],
  ["Content-Length after chunks", lines(POST, HOST, PDF, "Transfer-Encoding: chunked", LENGTH)],
  ["two Content-Lengths that differ", lines(POST, HOST, PDF, LENGTH, "Content-Length: 3")],
  ["the same Content-Length twice", lines(POST, HOST, PDF, LENGTH, LENGTH)],
  ["Content-Length in a list", lines(POST, HOST, PDF, "Content-Length: 4, 4")],
  ["an empty Content-Length", lines(POST, HOST, PDF, "Content-Length:")],
  ["Content-Length +4", lines(POST, HOST, PDF, "Content-Length: +4")],
  ["Content-Length -4", lines(POST, HOST, PDF, "Content-Length: -4")],
  ["Content-Length 0x4", lines(POST, HOST, PDF, "Content-Length: 0x4")],
  ["Content-Length 4.0", lines(POST, HOST, PDF, "Content-Length: 4.0")],
  ["Content-Length 4e0", lines(POST, HOST, PDF, "Content-Length: 4e0")],
  ["a Content-Length beyond 64 bits", lines(POST, HOST, PDF, `Content-Length: ${"9".repeat(30)}`)],
  ["gzip as a transfer coding", lines(POST, HOST, PDF, "Transfer-Encoding: gzip")],
  ["identity as a transfer coding", lines(POST, HOST, PDF, "Transfer-Encoding: identity")],
  ["a transfer coding that looks like chunked", lines(POST, HOST, PDF, "Transfer-Encoding: xchunked")],
  ["a vertical tab before chunked", lines(POST, HOST, PDF, "Transfer-Encoding: \u000bchunked")],
  ["chunked twice", lines(POST, HOST, PDF, "Transfer-Encoding: chunked, chunked")],
  ["chunked before another coding", lines(POST, HOST, PDF, "Transfer-Encoding: chunked, gzip")],
];

const CHUNKED = { ...PDF_TYPE, "Transfer-Encoding": "chunked" };
const CHUNKS = "3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n";

const BAD_CHUNKS: readonly (readonly [string, string])[] = [
  ["a chunk size that is not hexadecimal", "g\r\nabcd\r\n0\r\n\r\n"],
  ["a negative chunk size", "-4\r\nabcd\r\n0\r\n\r\n"],
  ["a chunk size with 0x", "0x4\r\nabcd\r\n0\r\n\r\n"],
  ["a chunk size beyond 64 bits", `${"f".repeat(17)}\r\nabcd`],
  ["an empty chunk size", "\r\nabcd\r\n0\r\n\r\n"],
  ["a space after a chunk size", "4 \r\nabcd\r\n0\r\n\r\n"],
  ["line feeds alone between chunks", "4\nabcd\n0\n\n"],
  ["a chunk that is longer than its size", "3\r\nabcd\r\n0\r\n\r\n"],
  ["a chunk without its line break", "4\r\nabcd0\r\n\r\n"],
  ["a body without chunks", "%PDF-1.7\r\n"],
  ["a malformed chunk after a good one", "4\r\nabcd\r\nzz\r\n"],
];

function longChunkExtension(): HostileRow {
  const [name, body] = ["a chunk extension of 20,000 bytes", `4;${"x".repeat(20_000)}\r\nabcd\r\n0\r\n\r\n`];
  const request = { headers: CHUNKED, body };
  return lacks("limit of chunk extensions")
    ? signed(name, request, {}, sha256("abcd"))
    : refused(name, request, 400, "ERR_REQUEST_MALFORMED");
}

/** Everything that frames a request: versions, fields, Content-Length, chunks, Expect. */
export const FRAMING: readonly HostileRow[] = [
  ...MALFORMED.map(([name, bytes]) => refused(name, bytes, 400, "ERR_REQUEST_MALFORMED")),
  ...["gzip, chunked", "identity, chunked"].map((coding) =>
    refused(
      `the transfer codings ${coding}`,
      { headers: { ...PDF_TYPE, "Transfer-Encoding": coding }, body: CHUNKS },
      400,
      "ERR_REQUEST_MALFORMED",
    ),
  ),
  {
    // It is signed as far as it goes, but the client is told that its framing is wrong.
    ...refused(
      "a body that is longer than its Content-Length",
      lines(POST, HOST, PDF, "Content-Length: 3"),
      400,
      "ERR_REQUEST_MALFORMED",
    ),
    digest: sha256("abc"),
  },
  refused(
    "two transfer codings in two fields",
    Buffer.from(
      [POST, HOST, PDF, "Transfer-Encoding: gzip", "Transfer-Encoding: chunked", "", CHUNKS].join("\r\n"),
    ),
    400,
    "ERR_REQUEST_MALFORMED",
  ),
  ...BAD_CHUNKS.map(([name, body]) =>
    refused(name, { headers: CHUNKED, body }, 400, "ERR_REQUEST_MALFORMED"),
  ),
  longChunkExtension(),
  refused(
    "a trailer of 20,000 bytes",
    { headers: CHUNKED, body: `4\r\nabcd\r\n0\r\nX: ${"x".repeat(20_000)}\r\n\r\n` },
    431,
    "ERR_HEADERS_TOO_LARGE",
  ),
  refused(
    "a field of 20,000 bytes",
    { ...GOOD, headers: { ...JSON_TYPE, X: "x".repeat(20_000) } },
    431,
    "ERR_HEADERS_TOO_LARGE",
  ),
  refused(
    "fields without end",
    { ...GOOD, headers: { ...JSON_TYPE, ...numbered(20_000) } },
    431,
    "ERR_HEADERS_TOO_LARGE",
  ),
  // With the Host and the Content-Length that it gets, 65 fields.
  refused("65 fields", { ...GOOD, headers: { ...JSON_TYPE, ...numbered(62) } }, 431, "ERR_HEADERS_TOO_LARGE"),
  refused(
    "a Content-Encoding behind 64 other fields",
    { headers: { ...PDF_TYPE, ...numbered(64), "Content-Encoding": "gzip" }, body: DOCUMENT },
    431,
    "ERR_HEADERS_TOO_LARGE",
  ),
  refused(
    "a Content-Length that is too large, without a byte of the body",
    { headers: { ...PDF_TYPE, "Content-Length": String(MAX_BODY_BYTES + 1) } },
    413,
    "ERR_BODY_TOO_LARGE",
    { connection: "close" },
  ),
  refused(
    "a Content-Length of 64 bits",
    { headers: { ...PDF_TYPE, "Content-Length": "18446744073709551615" } },
    413,
    "ERR_BODY_TOO_LARGE",
  ),
  refused(
    "an expectation that nobody knows",
    { ...GOOD, headers: { ...JSON_TYPE, Expect: "200-ok" } },
    417,
    "ERR_EXPECTATION",
  ),
  refused(
    "two expectations",
    { ...GOOD, headers: { ...JSON_TYPE, Expect: "100-continue, 200-ok" } },
    417,
    "ERR_EXPECTATION",
  ),
  signed("64 fields", { ...GOOD, headers: { ...JSON_TYPE, ...numbered(61) } }),
  signed("Expect: 100-Continue with the body at once", {
    ...GOOD,
    headers: { ...JSON_TYPE, Expect: "100-Continue" },
  }),
  signed("HTTP/1.0", { ...GOOD, version: "HTTP/1.0" }, { connection: "close" }),
  signed("HTTP/1.0 without Host", {
    version: "HTTP/1.0",
    headers: { ...JSON_TYPE, Host: undefined },
    body: GOOD_BODY,
  }),
  signed("HTTP/1.0 with an expectation", {
    ...GOOD,
    version: "HTTP/1.0",
    headers: { ...JSON_TYPE, Expect: "200-ok" },
  }),
  signed("an empty Host", { ...GOOD, headers: { ...JSON_TYPE, Host: "" } }),
  signed("an Upgrade to another protocol", {
    ...GOOD,
    headers: {
      ...JSON_TYPE,
      Connection: "Upgrade, HTTP2-Settings",
      Upgrade: "h2c",
      "HTTP2-Settings": "AAMAAABk",
    },
  }),
  signed(
    "Connection: close",
    { ...GOOD, headers: { ...JSON_TYPE, Connection: "close" } },
    { connection: "close" },
  ),
  signed(
    "empty lines before the request",
    Buffer.concat([Buffer.from("\r\n\r\n"), lines(POST, HOST, PDF, LENGTH)]),
    {},
    sha256("abcd"),
  ),
  signed(
    "names of fields in capitals",
    lines(POST, HOST.toUpperCase(), PDF.toUpperCase(), LENGTH.toUpperCase()),
    {},
    sha256("abcd"),
  ),
  signed(
    "no space after the colons",
    lines(POST, "Host:x", "Content-Type:application/pdf", "Content-Length:4"),
    {},
    sha256("abcd"),
  ),
  signed("chunks", { headers: CHUNKED, body: CHUNKS }, {}, sha256("abcd")),
  signed(
    "chunks called CHUNKED",
    { headers: { ...PDF_TYPE, "Transfer-Encoding": "CHUNKED" }, body: CHUNKS },
    {},
    sha256("abcd"),
  ),
  signed(
    "chunks with extensions, trailers and leading zeros",
    { headers: CHUNKED, body: '0003;a=b;c="d"\r\nabc\r\n1\r\nd\r\n0\r\nX: y\r\n\r\n' },
    {},
    sha256("abcd"),
  ),
  signed(
    "JSON in chunks of one byte",
    {
      headers: { ...JSON_TYPE, "Transfer-Encoding": "chunked" },
      body: `${GOOD_BODY.replace(/./g, (byte) => `1\r\n${byte}\r\n`)}0\r\n\r\n`,
    },
    {},
    HASH,
  ),
];
