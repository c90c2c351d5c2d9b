import { hash, randomBytes } from "node:crypto";

/** How a request carries its document. */
export type RequestForm = "hash" | "json" | "raw";

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

const SERIAL_LENGTH = 6;
/** Base64 of six bytes is eight characters that depend on nothing else. */
const SERIAL_BASE64_LENGTH = 8;

/** @param documentBytes size of the document, at least 6 bytes; for `hash` it never leaves the generator */
export function prepareRequest(form: RequestForm, documentBytes: number): PreparedRequest {
  const document = randomBytes(documentBytes);
  const { type, body, bodyOffset, update } = FORMS[form](document);
  const head = `POST /sign HTTP/1.1\r\nHost: localhost\r\nContent-Type: ${type}\r\nContent-Length: ${body.length}\r\n\r\n`;
  const bytes = Buffer.concat([Buffer.from(head), body]);
  const changing = bytes.subarray(head.length + bodyOffset);
  let serial = 0;
  return {
    bytes,
    renew: () => {
      serial += 1;
      document.writeUIntBE(serial, 0, SERIAL_LENGTH);
      update(changing);
    },
    document: () => Buffer.from(document),
  };
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
  raw: (document) => ({
    type: "application/pdf",
    body: document,
    bodyOffset: 0,
    update: (target) => void document.copy(target, 0, 0, SERIAL_LENGTH),
  }),
};
