import assert from "node:assert/strict";
import type { ErrorCode } from "../../lib/errors.ts";
import type { RawReply } from "./raw_http.ts";

/** What a refusal may say although the client says it too. */
const VOCABULARY =
  "encodedContents application/json, application/pdf, application/octet-stream Content-Type Content-Encoding " +
  "Transfer-Encoding must be chunked it is not HTTP/1.1 Expect field GET, HEAD, OPTIONS POST, OPTIONS";
/** Characters of the input that a reply may show by chance, at most. */
const BY_CHANCE = 8;

/** The reply is problem+json (RFC 9457) of that status and code, and shows no inside of the service. */
export function assertProblem(
  reply: RawReply,
  status: number,
  code: ErrorCode | "ERR_INTERNAL",
  isHead = false,
): void {
  assert.equal(reply.status, status, reply.body.toString());
  assert.equal(reply.headers.get("content-type"), "application/problem+json");
  if (isHead) return;
  const text = reply.body.toString();
  const problem = JSON.parse(text) as Record<string, unknown>;
  assert.deepEqual(Object.keys(problem).sort(), ["code", "detail", "status", "title"]);
  assert.equal(problem["status"], status);
  assert.equal(problem["code"], code);
  for (const name of ["title", "detail"]) {
    assert.equal(typeof problem[name], "string");
    assert.notEqual(problem[name], "", `the ${name} is empty`);
  }
  assert.doesNotMatch(
    text,
    /\bat .*:\d+|node:|\.[jt]s\b|node_modules|\/lib\/|Unexpected token/,
    "it holds a stack",
  );
}

/** The reply repeats nothing of what was sent, in its body or its fields. */
export function assertTellsNothing({ body, headers }: RawReply, sent: Uint8Array): void {
  const { detail = "" } = body.length === 0 ? {} : (JSON.parse(body.toString()) as { detail?: string });
  const fields = [...headers].filter(([name]) => name !== "allow").map(([, value]) => value);
  const input = Buffer.from(sent).toString("latin1");
  for (const text of [detail, ...fields]) {
    for (let start = 0; start + BY_CHANCE < text.length; start += 1) {
      const piece = text.slice(start, start + BY_CHANCE + 1);
      if (VOCABULARY.includes(piece)) continue;
      assert.ok(!input.includes(piece), `the reply repeats ${JSON.stringify(piece)} of the request`);
    }
  }
}

/** The DER of a reply that signs, in either form. */
export function signedDataOf(reply: RawReply): Buffer {
  assert.equal(reply.status, 200, reply.body.toString());
  const isJson = reply.headers.get("content-type") === "application/json";
  const { p7 = "" } = isJson ? (JSON.parse(reply.body.toString()) as { p7?: string }) : {};
  const der = isJson ? Buffer.from(p7, "base64") : reply.body;
  if (isJson) assert.equal(der.toString("base64"), p7, "p7 is not base64 as RFC 4648 has it");
  assert.equal(der[0], 0x30, "it does not begin as a SEQUENCE");
  assert.equal(der[1], 0x82, "it does not begin as a SEQUENCE of some length");
  assert.equal(der.readUInt16BE(2) + 4, der.length, "it is not one SEQUENCE");
  return der;
}
