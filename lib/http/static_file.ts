import { createHash } from "node:crypto";
import type { HttpHandler, HttpReply } from "./exchange.ts";

/** A file that is the same for everybody. */
export interface StaticFile {
  readonly bytes: Uint8Array;
  /** Its media type, and how long it may be kept, by lower-case name. */
  readonly headers: Readonly<Record<string, string>>;
}

/**
 * Answers GET and HEAD with the file, and with 304 whoever has it already (RFC 9110 §13.1.2). It is digested
 * once, not at each request.
 */
export function staticFile({ bytes, headers }: StaticFile): HttpHandler {
  const etag = `"${createHash("sha256").update(bytes).digest("base64url")}"`;
  const found: HttpReply = { status: 200, headers: { ...headers, etag }, body: bytes };
  const known: HttpReply = { status: 304, headers: { ...headers, etag } };
  return (request) => (hasTag(request.header("if-none-match"), etag) ? known : found);
}

/** Whether a list of entity tags holds this one, by weak comparison (RFC 9110 §8.8.3.2). */
function hasTag(field: string | undefined, etag: string): boolean {
  if (field === undefined) return false;
  return field.split(",").some((tag) => ["*", etag].includes(tag.trim().replace(/^W\//, "")));
}
