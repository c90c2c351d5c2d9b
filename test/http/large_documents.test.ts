import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { afterEach, describe, it, mock } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { type Deferred, deferred } from "../../lib/deferred.ts";
import type { BeginDigest } from "../../lib/document_digest.ts";
import { GOOD, JSON_TYPE, PDF_TYPE, sha256 } from "../support/hostile/row.ts";
import {
  type SoftwareService,
  type SoftwareServiceOptions,
  startSoftwareService,
} from "../support/http_service.ts";
import { assertProblem } from "../support/problem.ts";
import { exchange, RawConnection, type RawRequest, rawRequest } from "../support/raw_http.ts";
import { assertStopsByItself } from "../support/stop.ts";
import { until } from "../support/until.ts";

const MIB = 1024 ** 2;
const DER = Buffer.from("3000", "hex");
/** Far more than a thread has queued and the system's buffers hold. */
const LARGE = randomBytes(40 * MIB + 1);
const MAX_BODY_BYTES = 64 * MIB;

let service: SoftwareService | undefined;
/** What was signed, in hexadecimal. */
let signed: string[] = [];
async function start(options: SoftwareServiceOptions = {}): Promise<SoftwareService> {
  signed = [];
  const sign = async (digest: Uint8Array): Promise<Uint8Array> => {
    signed.push(Buffer.from(digest).toString("hex"));
    return DER;
  };
  service = await startSoftwareService({ maxBodyBytes: MAX_BODY_BYTES, sign, ...options });
  return service;
}
afterEach(() => service?.server.stop(0));

const raw = (document: Buffer): RawRequest => ({ headers: PDF_TYPE, body: document });
const json = (document: Buffer, hash = ""): RawRequest => ({
  headers: JSON_TYPE,
  body: `{"encodedContents":"${document.toString("base64")}"${hash}}`,
});
/** In pieces of all sizes, some of them far smaller than a thread is woken for. */
const chunked = (document: Buffer): RawRequest => {
  const pieces: Buffer[] = [];
  for (let start = 0, length = 1; start < document.length; start += length, length = (length * 3) % 300_007) {
    const piece = document.subarray(start, start + length);
    pieces.push(Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from("\r\n"));
  }
  pieces.push(Buffer.from("0\r\n\r\n"));
  return { headers: { ...PDF_TYPE, "Transfer-Encoding": "chunked" }, body: Buffer.concat(pieces) };
};

describe("A large document", () => {
  for (const [form, request] of [
    ["as the body", raw(LARGE)],
    ["as a body in chunks", chunked(LARGE)],
    ["as base64 in JSON", json(LARGE)],
    ["with its hash, as base64 in JSON", json(LARGE, `,"hash":"${sha256(LARGE)}"`)],
  ] as const) {
    it(`is signed ${form}.`, async () => {
      const { url } = await start();
      assert.equal((await exchange(url, rawRequest(request)))?.status, 200);
      assert.deepEqual(signed, [sha256(LARGE)]);
    });
  }

  it("is not signed where hash is another one's.", async () => {
    const { url } = await start();
    const reply = await exchange(url, rawRequest(json(LARGE, `,"hash":"${sha256("another")}"`)));
    assert.ok(reply);
    assertProblem(reply, 422, "ERR_DIGEST_MISMATCH");
    assert.deepEqual(signed, []);
  });

  it("is refused as ever where it is too large, or its base64 is none at the end.", async () => {
    const { url } = await start({ maxBodyBytes: LARGE.length - 1 });
    const tooLarge = await exchange(url, rawRequest(chunked(LARGE)));
    assert.equal(tooLarge?.status, 413);
    const half = json(LARGE.subarray(0, LARGE.length / 2));
    const bent = String(half.body).replace(/..."}$/, '!!!"}');
    const malformed = await exchange(url, rawRequest({ ...half, body: bent }));
    assert.ok(malformed);
    assertProblem(malformed, 400, "ERR_BASE64_MALFORMED");
    assert.deepEqual(signed, []);
  });

  it("keeps its digest beside many others, of all sizes and forms.", async () => {
    const { url } = await start();
    const documents = Array.from({ length: 24 }, (_, index) =>
      LARGE.subarray(index, index + 1 + index * 100_003),
    );
    const forms = [raw, json, chunked];
    const replies = await Promise.all(
      documents.map((document, index) => exchange(url, rawRequest((forms[index % 3] ?? raw)(document)))),
    );
    assert.deepEqual(new Set(replies.map((reply) => reply?.status)), new Set([200]));
    assert.deepEqual(signed.toSorted(), documents.map((document) => sha256(document)).toSorted());
  });
});

describe("A document that does not come to its end", () => {
  it("is given up, in whatever form, and others are signed.", async () => {
    let abandoned = 0;
    const { url, server, events } = await start({
      watchDigests: (digest) => ({
        write: (bytes) => digest.write(bytes),
        digest: () => digest.digest(),
        abandon: () => {
          abandoned += 1;
          digest.abandon();
        },
      }),
    });
    for (let count = 1; count <= 30; count += 1) {
      const whole = rawRequest((count % 2 === 0 ? raw : json)(LARGE));
      const connection = await RawConnection.open(url);
      await connection.writeAll(whole.subarray(0, 200 + (count % 3) * 5 * MIB));
      connection.destroy();
      await until(() => abandoned === count);
    }
    const codes = events.map(({ fields }) => /"code":"(\w+)"/.exec(JSON.stringify(fields))?.[1]);
    assert.deepEqual(new Set(codes), new Set(["ERR_BODY_INCOMPLETE"]));
    assert.equal((await exchange(url, rawRequest(raw(LARGE))))?.status, 200);
    assert.deepEqual([signed, abandoned], [[sha256(LARGE)], 30]);
    await assertStopsByItself(server);
  });
});

describe("A document that comes faster than it is hashed", () => {
  const WINDOW_MS = 2;
  afterEach(() => mock.timers.reset());
  /** A digest that has no room after its first bytes, until somebody makes it. */
  function reluctant(): { beginDigest: BeginDigest; room: Deferred<void>; written: () => number } {
    const hash = createHash("sha256");
    const room = deferred<void>();
    let written = 0;
    const write = (bytes: Buffer): Promise<void> => {
      hash.update(bytes);
      written += bytes.length;
      return room.promise;
    };
    const beginDigest: BeginDigest = () => ({ write, digest: () => hash.digest(), abandon: () => {} });
    return { beginDigest, room, written: () => written };
  }

  for (const [form, make] of [
    ["raw", raw],
    ["JSON", json],
  ] as const) {
    it(`is not read before there is room, nor blamed for it: ${form}.`, async () => {
      mock.timers.enable({ apis: ["setInterval"] });
      const { beginDigest, room, written } = reluctant();
      const { url } = await start({
        routes: { beginDigest },
        limits: { bodyWindowMs: WINDOW_MS, minBytesPerWindow: 1 },
      });
      const connection = await RawConnection.open(url);
      connection.write(rawRequest(make(LARGE)));
      await until(() => written() > 0);
      for (let windows = 0; windows < 10; windows += 1) {
        await delay(2 * WINDOW_MS);
        mock.timers.tick(WINDOW_MS);
      }
      assert.ok(written() <= MIB, `${written()} bytes`);
      room.resolve();
      assert.equal((await connection.reply())?.status, 200);
      assert.deepEqual(signed, [sha256(LARGE)]);
      connection.destroy();
    });
  }

  it("is answered 408 when it had room, and brings nothing more.", async () => {
    const { beginDigest, room, written } = reluctant();
    const limits = { bodyWindowMs: 50, minBytesPerWindow: 1_000, lingerMs: 50 };
    const { url } = await start({ routes: { beginDigest }, limits });
    const connection = await RawConnection.open(url);
    connection.write(rawRequest(raw(LARGE)).subarray(0, 100_000));
    await until(() => written() > 0);
    room.resolve();
    const reply = await connection.reply();
    assert.ok(reply);
    assertProblem(reply, 408, "ERR_BODY_TIMEOUT");
    connection.destroy();
  });

  it("is answered 500 when its digest fails, and others are signed.", async () => {
    const { beginDigest, room, written } = reluctant();
    const { url } = await start({ routes: { beginDigest }, limits: { lingerMs: 50 } });
    const connection = await RawConnection.open(url);
    connection.write(rawRequest(raw(LARGE)));
    await until(() => written() > 0);
    room.reject(new Error("no memory"));
    const reply = await connection.reply();
    assert.ok(reply);
    assertProblem(reply, 500, "ERR_INTERNAL");
    connection.destroy();
    assert.equal((await exchange(url, rawRequest(GOOD)))?.status, 200);
  });
});
