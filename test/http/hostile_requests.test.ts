import assert from "node:assert/strict";
import { after, before, beforeEach, describe, it } from "node:test";
import { signatureAlgorithm } from "../../lib/algorithms.ts";
import { DocumentSigner } from "../../lib/document_signer.ts";
import { SignerError } from "../../lib/errors.ts";
import { DOCUMENTS } from "../support/hostile/document.ts";
import { FRAMING } from "../support/hostile/framing.ts";
import { JSON_TEXTS } from "../support/hostile/json.ts";
import { MEDIA } from "../support/hostile/media.ts";
import { ROUTING } from "../support/hostile/routing.ts";
import {
  ENCODED,
  GOOD,
  GOOD_BODY,
  HASH,
  type HostileRow,
  JSON_TYPE,
  MAX_BODY_BYTES,
  PDF_TYPE,
} from "../support/hostile/row.ts";
import { type SoftwareService, startSoftwareService } from "../support/http_service.ts";
import { assertProblem, assertTellsNothing, signedDataOf } from "../support/problem.ts";
import { exchange, RawConnection, rawRequest } from "../support/raw_http.ts";
import { softwareCredential } from "../support/software.ts";

const GROUPS: Readonly<Record<string, readonly HostileRow[]>> = {
  routing: ROUTING,
  "media types": MEDIA,
  JSON: JSON_TEXTS,
  documents: DOCUMENTS,
  framing: FRAMING,
};

describe("The service, asked in odd ways, answers each as it should and signs afterwards.", () => {
  let service: SoftwareService;
  /** What was signed, in hexadecimal. */
  const digests: string[] = [];

  before(async () => {
    const credential = await softwareCredential(signatureAlgorithm("P-256", "SHA-256"));
    const signer = new DocumentSigner(credential, () => new Date());
    const sign = (digest: Uint8Array): Promise<Uint8Array> => {
      digests.push(Buffer.from(digest).toString("hex"));
      return signer.sign(digest);
    };
    service = await startSoftwareService({
      sign,
      maxBodyBytes: MAX_BODY_BYTES,
      limits: { lingerMs: 500 },
    });
  });
  beforeEach(() => digests.splice(0));
  after(() => service.server.stop(0));

  it("There are enough rows, each with a name of its own, and none is answered with a 5xx.", () => {
    const rows = Object.values(GROUPS).flat();
    assert.ok(rows.filter(({ status }) => status >= 400).length >= 60);
    assert.equal(new Set(rows.map(({ name }) => name)).size, rows.length);
    assert.deepEqual(
      rows.filter(({ status }) => status >= 500),
      [],
    );
  });

  for (const [group, rows] of Object.entries(GROUPS)) {
    describe(group, () => {
      for (const row of rows) {
        const answer = row.code === undefined ? row.status : `${row.status} ${row.code}`;
        it(`It answers ${answer} to ${row.name}.`, async () => {
          await check(service, row);
          assert.deepEqual(digests, row.digest === undefined ? [] : [row.digest]);
          await assertSigns(service, digests);
        });
      }
    });
  }

  it("Nothing of it was an error of the service.", () => {
    assert.deepEqual(
      service.events.filter(({ level }) => level === "error"),
      [],
    );
  });
});

describe("What takes more than one request to see:", () => {
  let service: SoftwareService;
  before(async () => {
    service = await startSoftwareService({ maxBodyBytes: MAX_BODY_BYTES, limits: { lingerMs: 5_000 } });
  });
  after(() => service.server.stop(0));

  it("JSON is refused wherever it is cut, on one connection.", async () => {
    const body = `{ "\\u0068ash" : "${HASH}", "encodedContents":"${ENCODED.replace("/", "\\/")}" }`;
    const connection = await RawConnection.open(service.url);
    for (let length = 0; length < body.length; length += 1) {
      connection.write(rawRequest({ headers: JSON_TYPE, body: body.slice(0, length) }));
      const reply = await connection.reply();
      assert.ok(reply);
      const code = reply.body.includes("ERR_BASE64") ? "ERR_BASE64_MALFORMED" : "ERR_JSON_MALFORMED";
      assertProblem(reply, 400, code);
    }
    connection.write(rawRequest({ headers: JSON_TYPE, body }));
    assert.equal((await connection.reply())?.status, 200);
    connection.destroy();
  });

  it("A body in chunks is refused as soon as it is too large, before it ends.", async () => {
    const connection = await RawConnection.open(service.url);
    connection.write(rawRequest({ headers: { ...PDF_TYPE, "Transfer-Encoding": "chunked" } }));
    const chunk = `10000\r\n${"x".repeat(0x10000)}\r\n`;
    for (let sent = 0; sent <= MAX_BODY_BYTES; sent += 0x10000) connection.write(chunk);
    const reply = await connection.reply();
    assert.ok(reply);
    assertProblem(reply, 413, "ERR_BODY_TOO_LARGE");
    connection.destroy();
  });

  it("A client that expects 100 Continue is told to go on, and then signs.", async () => {
    const connection = await RawConnection.open(service.url);
    const request = rawRequest({ ...GOOD, headers: { ...JSON_TYPE, Expect: "100-continue" } });
    connection.write(request.subarray(0, -GOOD_BODY.length));
    assert.equal((await connection.reply())?.status, 100);
    connection.write(GOOD_BODY);
    assert.equal((await connection.reply())?.status, 200);
    connection.destroy();
  });

  for (const [what, target, fields, status, code] of [
    ["type is wrong", "/sign", { "Content-Type": "text/html" }, 415, "ERR_MEDIA_TYPE"],
    ["length is too large", "/sign", { "Content-Length": "300000" }, 413, "ERR_BODY_TOO_LARGE"],
    ["coding is wrong", "/sign", { "Content-Encoding": "gzip" }, 415, "ERR_CONTENT_ENCODING"],
    ["path is unknown", "/nowhere", {}, 404, "ERR_NOT_FOUND"],
  ] as const) {
    it(`A client that expects 100 Continue is refused without its body when the ${what}.`, async () => {
      const connection = await RawConnection.open(service.url);
      const headers = { ...PDF_TYPE, Expect: "100-continue", "Content-Length": "9", ...fields };
      connection.write(rawRequest({ target, headers }));
      const reply = await connection.reply();
      assert.ok(reply);
      assertProblem(reply, status, code);
      connection.destroy();
    });
  }

  it("A client of HTTP/1.0 is sent no interim reply.", async () => {
    const connection = await RawConnection.open(service.url);
    const headers = { ...JSON_TYPE, Expect: "100-continue" };
    connection.write(rawRequest({ ...GOOD, version: "HTTP/1.0", headers }));
    assert.equal((await connection.reply())?.status, 200);
    connection.destroy();
  });
});

describe("When the service cannot sign:", () => {
  let failure: unknown;
  let service: SoftwareService;
  before(async () => {
    const fail = (): Promise<never> => Promise.reject(failure);
    service = await startSoftwareService({ sign: fail, routes: { readiness: fail } });
  });
  after(() => service.server.stop(0));

  const secret = "CKR_DEVICE_ERROR in slot 7 with PIN 1234";
  const request = { sign: rawRequest(GOOD), readyz: rawRequest({ method: "GET", target: "/readyz" }) };
  for (const [code, retryAfter] of [
    ["ERR_TOKEN_UNAVAILABLE", "5"],
    ["ERR_TOKEN_BUSY", "1"],
    ["ERR_SIGN_TIMEOUT", "5"],
    ["ERR_SIGNATURE_WRONG", "5"],
    ["ERR_PIN_REJECTED", "60"],
    ["ERR_TOKEN_HANGS", "5"],
    ["ERR_CERTIFICATE_EXPIRED", "60"],
    ["ERR_CERTIFICATE_NOT_YET_VALID", "60"],
    ["ERR_KEY_NOT_FOUND", "60"],
    ["ERR_KEY_AMBIGUOUS", "60"],
    ["ERR_KEY_UNUSABLE", "60"],
    ["ERR_STOPPING", "1"],
  ] as const) {
    it(`It answers 503 ${code} with Retry-After, and keeps the reason to itself.`, async () => {
      failure = new SignerError(code, secret, { cause: new Error(secret) });
      for (const bytes of Object.values(request)) {
        const reply = await exchange(service.url, bytes);
        assert.ok(reply);
        assertProblem(reply, 503, code);
        assert.equal(reply.headers.get("retry-after"), retryAfter);
        assert.equal(reply.headers.get("cache-control"), "no-store");
        assertTellsNothing(reply, Buffer.from(secret));
      }
    });
  }

  for (const [what, thrown, code] of [
    ["a token that fails in an unknown way", new SignerError("ERR_TOKEN_FAULT", secret), "ERR_TOKEN_FAULT"],
    ["a token that refuses the key", new SignerError("ERR_TOKEN_REFUSED", secret), "ERR_TOKEN_REFUSED"],
    ["an error of the start", new SignerError("ERR_MODULE_UNUSABLE", secret), "ERR_INTERNAL"],
    ["an unknown error", new TypeError(secret), "ERR_INTERNAL"],
    ["something that is no error", secret, "ERR_INTERNAL"],
    ["nothing", undefined, "ERR_INTERNAL"],
  ] as const) {
    it(`It answers a bare 500 to ${what}.`, async () => {
      failure = thrown;
      for (const bytes of Object.values(request)) {
        const reply = await exchange(service.url, bytes);
        assert.ok(reply);
        assertProblem(reply, 500, code);
        assertTellsNothing(reply, Buffer.from(secret));
      }
    });
  }

  it("It logs each failure for the operator, and is alive throughout.", async () => {
    assert.ok(service.events.filter(({ event }) => event === "request.failed").length >= 2);
    const reply = await exchange(service.url, rawRequest({ method: "GET", target: "/healthz" }));
    assert.equal(reply?.status, 200);
  });
});

async function check(service: SoftwareService, row: HostileRow): Promise<void> {
  const reply = await exchange(service.url, row.bytes, { isHead: row.isHead ?? false });
  assert.ok(reply, "the connection was closed without a reply");
  assert.equal(reply.status, row.status, reply.body.toString());
  for (const [name, value] of Object.entries(row.headers ?? {})) {
    assert.equal(reply.headers.get(name), value, name);
  }
  if (row.code !== undefined) {
    assertProblem(reply, row.status, row.code, row.isHead);
    assertTellsNothing(reply, row.bytes);
  } else if (row.status === 200) {
    assert.equal(reply.headers.get("cache-control"), "no-store");
    signedDataOf(reply);
  }
}

async function assertSigns(service: SoftwareService, digests: string[]): Promise<void> {
  digests.splice(0);
  const reply = await exchange(service.url, rawRequest(GOOD));
  assert.equal(reply?.status, 200, "the service does not sign any more");
  signedDataOf(reply);
  assert.deepEqual(digests, [HASH]);
}
