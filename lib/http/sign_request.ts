import type { HashAlgorithm } from "../algorithms.ts";
import type { BeginDigest, DocumentDigest } from "../document_digest.ts";
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
 * @param begin begins the digest of a document
 * @returns the digest, `hash.length` bytes
 * @throws SignerError with a code of the request
 */
export async function readDigest(
  request: HttpRequest,
  hash: HashAlgorithm,
  begin: BeginDigest,
): Promise<Buffer> {
  const encoding = request.header("content-encoding");
  if (encoding !== undefined && encoding.toLowerCase() !== "identity") {
    throw new SignerError("ERR_CONTENT_ENCODING", "Cannot read the request: Content-Encoding must be absent");
  }
  const read = readerOf(request);
  const document = new Document(() => begin(hash));
  try {
    return await read(request, hash, document);
  } catch (error) {
    document.abandon();
    throw error;
  }
}

type Reader = (request: HttpRequest, hash: HashAlgorithm, document: Document) => Promise<Buffer>;

function readerOf(request: HttpRequest): Reader {
  const { type, charset } = parseContentType(request.header("content-type"));
  if (RAW_TYPES.has(type)) return readRawDocument;
  if (type === JSON_TYPE && (charset === undefined || /^utf-?8$/.test(charset))) return readJson;
  throw new SignerError(
    "ERR_MEDIA_TYPE",
    `Cannot read the request: Content-Type must be ${[JSON_TYPE, ...RAW_TYPES].join(", ")} (and UTF-8)`,
  );
}

async function readRawDocument(
  request: HttpRequest,
  _hash: HashAlgorithm,
  document: Document,
): Promise<Buffer> {
  await request.readBody(document);
  return document.digest();
}

async function readJson(request: HttpRequest, hash: HashAlgorithm, document: Document): Promise<Buffer> {
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
  const computed = await document.digest();
  if (given !== undefined && !computed.equals(given)) {
    throw new SignerError(
      "ERR_DIGEST_MISMATCH",
      `Cannot sign: hash is not the ${hash.name} of encodedContents`,
    );
  }
  return computed;
}

/** A document that may be none: most requests bring a digest instead, and begin none. */
class Document implements BodySink {
  readonly #begin: () => DocumentDigest;
  #digest: DocumentDigest | undefined;

  constructor(begin: () => DocumentDigest) {
    this.#begin = begin;
  }

  write(chunk: Buffer): void | Promise<void> {
    if (chunk.length === 0) return;
    this.#digest ??= this.#begin();
    return this.#digest.write(chunk);
  }

  digest(): Buffer | Promise<Buffer> {
    // A client that reads the SDK's fileContents where it is null sends this; it wants no such signature.
    if (this.#digest === undefined) {
      throw new SignerError("ERR_DOCUMENT_EMPTY", "Cannot sign: the document has no bytes");
    }
    return this.#digest.digest();
  }

  abandon(): void {
    this.#digest?.abandon();
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
