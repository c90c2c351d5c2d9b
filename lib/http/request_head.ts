import type { IncomingMessage } from "node:http";
import { SignerError } from "../errors.ts";

const MAX_HEADERS = 64;
const CONTINUE = "100-continue";
/** Path and query of a request target, which may be a whole URL (RFC 9112 §3.2.2). */
const TARGET = /^(?:https?:\/\/[^/?#]*)?([^?#]*)(?:\?([^#]*))?/i;

/** The path of a request, without the query. */
export function pathOf({ url = "" }: IncomingMessage): string {
  return TARGET.exec(url)?.[1] ?? "";
}

/**
 * A parameter of the query, decoded as forms are (URL Standard §5.1).
 *
 * @throws SignerError `ERR_REQUEST_MALFORMED` when it stands there twice: which one is meant?
 */
export function queryParameter({ url = "" }: IncomingMessage, name: string): string | undefined {
  const query = TARGET.exec(url)?.[2];
  // Most requests have none.
  if (query === undefined) return undefined;
  const values = new URLSearchParams(query).getAll(name);
  if (values.length > 1) throw malformed(`its query names ${name} ${values.length} times`);
  return values[0];
}

/** What is wrong with the head of a request that `node:http` lets pass; `undefined` if nothing is. */
export function headFault(request: IncomingMessage): SignerError | undefined {
  const { headers, httpVersion, rawHeaders } = request;
  // The server's own limit drops the rest without a word, a Content-Encoding perhaps.
  if (rawHeaders.length > 2 * MAX_HEADERS) {
    return new SignerError(
      "ERR_HEADERS_TOO_LARGE",
      `Cannot read the request: it has more than ${MAX_HEADERS} header fields`,
    );
  }
  if (httpVersion !== "1.1" && httpVersion !== "1.0") return malformed("it is not HTTP/1.1");
  if (httpVersion === "1.1" && timesIn(rawHeaders, "host") !== 1) {
    return malformed("it must have one Host field");
  }
  // Of several, Node.js takes the first one, and a proxy perhaps another.
  if (timesIn(rawHeaders, "authorization") > 1) {
    return malformed("it has more than one Authorization field");
  }
  // "gzip, chunked" is dechunked only: the document would be something else than was meant.
  if ((headers["transfer-encoding"] ?? "chunked").toLowerCase() !== "chunked") {
    return malformed("Transfer-Encoding must be chunked or absent");
  }
  if (httpVersion === "1.1" && (headers.expect ?? CONTINUE).toLowerCase() !== CONTINUE) {
    return new SignerError("ERR_EXPECTATION", "Cannot meet the Expect field");
  }
  return undefined;
}

/**
 * How often a field stands in a head; `headersDistinct` would make a list of each field for it.
 *
 * @param rawHeaders names and values in turns, as they came
 * @param name in lower case
 */
function timesIn(rawHeaders: readonly string[], name: string): number {
  let times = 0;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const field = rawHeaders[index];
    if (field?.length === name.length && field.toLowerCase() === name) times += 1;
  }
  return times;
}

function malformed(state: string): SignerError {
  return new SignerError("ERR_REQUEST_MALFORMED", `Cannot read the request: ${state}`);
}
