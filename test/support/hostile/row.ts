import { createHash } from "node:crypto";
import type { ErrorCode } from "../../../lib/errors.ts";
import { type RawRequest, rawRequest } from "../raw_http.ts";

/** A request that a client should not send, or seldom sends, and what has to come of it. */
export interface HostileRow {
  /** Goes on from "It answers 400 ERR_… to". */
  readonly name: string;
  readonly bytes: Buffer;
  readonly status: number;
  /** Of a refusal. */
  readonly code?: ErrorCode;
  /** The digest that is signed, in hexadecimal; none where it is absent. */
  readonly digest?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly isHead?: boolean;
}

export const sha256 = (data: string | Uint8Array): string => createHash("sha256").update(data).digest("hex");

/** With a NUL, what is not ASCII, and "???", of which base64 makes a slash. */
export const DOCUMENT = "the byte range of a document: \u0000\u00ff???";
export const ENCODED: string = Buffer.from(DOCUMENT).toString("base64");
export const HASH: string = sha256(DOCUMENT);
export const JSON_TYPE = { "Content-Type": "application/json" } as const;
export const PDF_TYPE = { "Content-Type": "application/pdf" } as const;
/** The smallest request that is signed. */
export const GOOD_BODY: string = `{"hash":"${HASH}"}`;
export const GOOD: RawRequest = { headers: JSON_TYPE, body: GOOD_BODY };

/** The limit of the service that the rows are for, in bytes. */
export const MAX_BODY_BYTES: number = 256 * 1024;

const bytesOf = (request: RawRequest | Buffer): Buffer =>
  Buffer.isBuffer(request) ? request : rawRequest(request);

export function refused(
  name: string,
  request: RawRequest | Buffer,
  status: number,
  code: ErrorCode,
  headers: Readonly<Record<string, string>> = {},
): HostileRow {
  const isHead = !Buffer.isBuffer(request) && request.method === "HEAD";
  return { name, bytes: bytesOf(request), status, code, headers, isHead };
}

export function signed(
  name: string,
  request: RawRequest | Buffer,
  headers: Readonly<Record<string, string>> = {},
  digest: string = HASH,
): HostileRow {
  return { name, bytes: bytesOf(request), status: 200, digest, headers };
}
