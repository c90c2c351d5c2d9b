import { createHash, type Hash } from "node:crypto";
import type { HashAlgorithm } from "../algorithms.ts";
import { SignerError } from "../errors.ts";
import type { BodySink, HttpRequest } from "./exchange.ts";
import { JsonDocumentSink } from "./json_document.ts";
import { parseContentType } from "./media_types.ts";

/** The media types of the bytes themselves. */
const RAW_TYPES: ReadonlySet<string> = new Set(["application/pdf", "application/octet-stream"]);
const JSON_TYPE = "application/json";

/**
 * The digest that a sign request is for: computed while its document arrives, or taken from its `hash`, or
 * both, and then they agree.
 *
 * @returns the digest, `hash.length` bytes
 * @throws SignerError with a code of the request
 */
export async function readDigest(request: HttpRequest, hash: HashAlgorithm): Promise<Buffer> {
  const encoding = request.header("content-encoding");
  if (encoding !== undefined && encoding.toLowerCase() !== "identity") {
    throw new SignerError("ERR_CONTENT_ENCODING", "Cannot read the request: Content-Encoding must be absent");
  }
  const { type, charset } = parseContentType(request.header("content-type"));
  if (RAW_TYPES.has(type)) return readRawDocument(request, hash);
  if (type === JSON_TYPE && (charset === undefined || /^utf-?8$/.test(charset)))
    return readJson(request, hash);
  throw new SignerError(
    "ERR_MEDIA_TYPE",
    `Cannot read the request: Content-Type must be ${[JSON_TYPE, ...RAW_TYPES].join(", ")} (and UTF-8)`,
  );
}

async function readRawDocument(request: HttpRequest, hash: HashAlgorithm): Promise<Buffer> {
  const document = new DocumentDigest(hash);
  await request.readBody(document);
  return document.digest();
}

async function readJson(request: HttpRequest, hash: HashAlgorithm): Promise<Buffer> {
  const document = new DocumentDigest(hash);
  const json = new JsonDocumentSink((bytes) => document.write(bytes));
  await request.readBody(json);
  const members = json.end();
  const given = members.hash === null ? undefined : parseDigest(members.hash, hash);
  if (!members.hasDocument) {
    if (given !== undefined) return given;
    throw new SignerError(
      "ERR_DOCUMENT_MISSING",
      "Cannot sign: the request has neither encodedContents nor hash",
    );
  }
  const computed = document.digest();
  if (given !== undefined && !computed.equals(given)) {
    throw new SignerError(
      "ERR_DIGEST_MISMATCH",
      `Cannot sign: hash is not the ${hash.name} of encodedContents`,
    );
  }
  return computed;
}

/** Hashes a document piece by piece. */
class DocumentDigest implements BodySink {
  readonly #name: string;
  /** Made with the first byte: most requests bring a digest and no document. */
  #hash: Hash | undefined;

  constructor(hash: HashAlgorithm) {
    this.#name = hash.nodeName;
  }

  write(chunk: Buffer): void {
    if (chunk.length === 0) return;
    this.#hash ??= createHash(this.#name);
    this.#hash.update(chunk);
  }

  digest(): Buffer {
    // A client that reads the SDK's fileContents where it is null sends this; it wants no such signature.
    if (this.#hash === undefined) {
      throw new SignerError("ERR_DOCUMENT_EMPTY", "Cannot sign: the document has no bytes");
    }
    return this.#hash.digest();
  }
}

/** A digest in hexadecimal digits of either case. */
function parseDigest(value: unknown, hash: HashAlgorithm): Buffer {
  if (typeof value !== "string") {
    throw new SignerError("ERR_MEMBER_INVALID", "Cannot read the request: hash is not a string");
  }
  if (value.length !== 2 * hash.length) {
    throw new SignerError(
      "ERR_DIGEST_INVALID",
      `Cannot sign: hash has ${value.length} characters, and this service signs ${hash.name}, ` +
        `${2 * hash.length} hexadecimal digits`,
    );
  }
  if (!/^[\dA-Fa-f]*$/.test(value)) {
    throw new SignerError(
      "ERR_DIGEST_INVALID",
      "Cannot sign: hash holds a character that is not a hexadecimal digit",
    );
  }
  return Buffer.from(value, "hex");
}
