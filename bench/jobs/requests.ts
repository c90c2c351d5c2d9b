import { hash, randomBytes } from "node:crypto";

/** How a request carries its document; `guide`: as the guide's client does, with both members. */
export type RequestForm = "hash" | "json" | "raw" | "guide";

/**
 * A request that is built once and sent many times, each time for another document: what changes is written
 * over the bytes in place, so that the generator costs little beside what it measures.
 */
export interface PreparedRequest {
  /** Head and body, as they go over the wire. */
  readonly bytes: Buffer;
  /** Makes it a request for another document. The one before must have been sent. */
  renew(): void;
  /** A copy of the document that `bytes` asks a signature for. */
  document(): Buffer;
}

/** What a load sends. */
export interface RequestKind {
  readonly form: RequestForm;
  /** Size of the document, at least 6 bytes; for `hash` it never leaves the generator. */
  readonly documentBytes: number;
  /** Each connection asks for so many documents, again and again; by standard each time for a new one. */
  readonly documents?: number;
}

const SERIAL_LENGTH = 6;
/** Base64 of six bytes is eight characters that depend on nothing else. */
const SERIAL_BASE64_LENGTH = 8;

export function prepareRequest({ form, documentBytes, documents }: RequestKind): PreparedRequest {
  const document = randomBytes(documentBytes);
  const { type, body, bodyOffset, update } = FORMS[form](document);
  const bytes = Buffer.concat([requestHead(type, body.length), body]);
  const changing = bytes.subarray(bytes.length - body.length + bodyOffset);
  const period = documents ?? Number.POSITIVE_INFINITY;
  let serial = 0;
  return {
    bytes,
    renew: () => {
      serial = (serial + 1) % period;
      document.writeUIntBE(serial, 0, SERIAL_LENGTH);
      update(changing);
    },
    document: () => Buffer.from(document),
  };
}

export function requestHead(type: string, length: number): Buffer {
  return Buffer.from(
    `POST /sign HTTP/1.1\r\nHost: localhost\r\nContent-Type: ${type}\r\nContent-Length: ${length}\r\n\r\n`,
  );
}

interface Form {
  readonly type: string;
  readonly body: Buffer;
  /** Where in the body that begins which `update` writes. */
  readonly bodyOffset: number;
  /** Writes what the changed document changes in the body. */
  update(target: Buffer): void;
}

const FORMS: Readonly<Record<RequestForm, (document: Buffer) => Form>> = {
  hash: (document) => ({
    type: "application/json",
    body: Buffer.from(`{"hash":"${hash("sha256", document, "hex")}"}`),
    bodyOffset: '{"hash":"'.length,
    update: (target) => void target.write(hash("sha256", document, "hex"), "latin1"),
  }),
  json: (document) => ({
    type: "application/json",
    body: Buffer.from(`{"encodedContents":"${document.toString("base64")}"}`),
    bodyOffset: '{"encodedContents":"'.length,
    update: (target) =>
      void target.write(document.toString("base64", 0, SERIAL_LENGTH), 0, SERIAL_BASE64_LENGTH, "latin1"),
  }),
  guide: (document) => {
    const members = (): string =>
      `${hash("sha256", document, "hex")}","encodedContents":"${document.toString("base64")}`;
    return {
      type: "application/json",
      body: Buffer.from(`{"hash":"${members()}"}`),
      bodyOffset: '{"hash":"'.length,
      update: (target) => void target.write(members(), "latin1"),
    };
  },
  raw: (document) => ({
    type: "application/pdf",
    body: document,
    bodyOffset: 0,
    update: (target) => void document.copy(target, 0, 0, SERIAL_LENGTH),
  }),
};
