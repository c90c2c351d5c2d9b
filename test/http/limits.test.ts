import assert from "node:assert/strict";
import { afterEach, describe, it, mock } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { deferred } from "../../lib/deferred.ts";
import { SignerError } from "../../lib/errors.ts";
import type { HttpHandler } from "../../lib/http/exchange.ts";
import { type HttpLimits, HttpServer } from "../../lib/http/http_server.ts";
import { problemReply } from "../../lib/http/problems.ts";
import { GOOD, JSON_TYPE, PDF_TYPE } from "../support/hostile/row.ts";
import {
  type SoftwareService,
  type SoftwareServiceOptions,
  startSoftwareService,
} from "../support/http_service.ts";
import { assertProblem } from "../support/problem.ts";
import { exchange, RawConnection, rawRequest } from "../support/raw_http.ts";
import { recordingLog } from "../support/recording_log.ts";
import { assertStopsByItself } from "../support/stop.ts";
import { until } from "../support/until.ts";

const MIB = 1024 ** 2;
/** Longer than any test waits. */
const NEVER_MS = 600_000;

let service: SoftwareService | undefined;
async function start(options: SoftwareServiceOptions): Promise<SoftwareService> {
  service = await startSoftwareService(options);
  return service;
}
afterEach(() => service?.server.stop(0));

async function assertSigns(url: string): Promise<void> {
  const reply = await exchange(url, rawRequest(GOOD));
  assert.equal(reply?.status, 200, "the service does not sign any more");
}

describe("A request that does not come to its end", () => {
  for (const [what, begin] of [
    ["whose line does not end", "POST /sign"],
    ["whose fields do not end", "POST /sign HTTP/1.1\r\nHost: x\r\n"],
    ["that has not begun", ""],
  ] as const) {
    it(`is answered 408 when it is a head ${what}.`, async () => {
      const { url } = await start({ limits: { headersTimeoutMs: 200 } });
      const connection = await RawConnection.open(url);
      connection.write(begin);
      const reply = await connection.reply();
      assert.ok(reply);
      assertProblem(reply, 408, "ERR_BODY_TIMEOUT");
      await connection.closed();
      await assertSigns(url);
    });
  }

  it("is answered 408 when its head comes byte by byte without end.", async () => {
    const { url } = await start({ limits: { headersTimeoutMs: 300 } });
    const connection = await RawConnection.open(url);
    connection.write("POST /sign HTTP/1.1\r\nHost: x\r\nX: ");
    let reply: Awaited<ReturnType<RawConnection["reply"]>>;
    const replied = connection.reply().then((value) => {
      reply = value;
    });
    while (reply === undefined && !connection.isClosed) {
      connection.write("x");
      await delay(10);
    }
    await replied;
    assert.ok(reply);
    assertProblem(reply, 408, "ERR_BODY_TIMEOUT");
    connection.destroy();
  });

  for (const [what, headers, begin] of [
    ["has not begun", { ...PDF_TYPE, "Content-Length": "1000" }, ""],
    ["stalls", { ...PDF_TYPE, "Content-Length": "1000" }, "%PDF-1.7"],
    ["stalls between chunks", { ...PDF_TYPE, "Transfer-Encoding": "chunked" }, "4\r\n%PDF\r\n"],
    ["stalls inside its JSON", { ...JSON_TYPE, "Content-Length": "1000" }, '{"encodedContents":"QUJ'],
    [
      "is announced with Expect and never sent",
      { ...PDF_TYPE, "Content-Length": "9", Expect: "100-continue" },
      "",
    ],
  ] as const) {
    it(`is answered 408 when its body ${what}.`, async () => {
      const { url } = await start({ limits: { bodyWindowMs: 100, minBytesPerWindow: 100, lingerMs: 100 } });
      const connection = await RawConnection.open(url);
      connection.write(rawRequest({ headers }));
      connection.write(begin);
      let reply = await connection.reply();
      if (reply?.status === 100) reply = await connection.reply();
      assert.ok(reply);
      assertProblem(reply, 408, "ERR_BODY_TIMEOUT");
      await connection.closed();
      await assertSigns(url);
    });
  }
});

describe("A body that comes slowly", () => {
  const WINDOW_MS = 1_000;
  let server: HttpServer | undefined;
  let received = 0;
  /** The server of a handler that takes the body and says how it went; its windows pass by `mock.timers.tick`. */
  async function listen(limits: Partial<HttpLimits>): Promise<RawConnection> {
    mock.timers.enable({ apis: ["setInterval"] });
    received = 0;
    const handler: HttpHandler = async (request) => {
      try {
        await request.readBody({
          write: (chunk) => {
            received += chunk.length;
          },
        });
        return { status: 200, headers: {} };
      } catch (error) {
        return problemReply(error);
      }
    };
    const { log } = recordingLog();
    server = await HttpServer.listen({
      host: "127.0.0.1",
      port: 0,
      maxBodyBytes: MIB,
      handler,
      log,
      limits: { bodyWindowMs: WINDOW_MS, lingerMs: 100, ...limits },
    });
    return RawConnection.open(server.url);
  }
  afterEach(async () => {
    mock.timers.reset();
    await server?.stop(0);
  });

  it("is taken, however long it takes, as long as each window brings enough.", async () => {
    const connection = await listen({ minBytesPerWindow: 10 });
    connection.write(rawRequest({ headers: { "Content-Length": "200" } }));
    for (let sent = 10; sent <= 200; sent += 10) {
      connection.write("x".repeat(10));
      await until(() => received === sent);
      mock.timers.tick(WINDOW_MS);
    }
    assert.equal((await connection.reply())?.status, 200);
    connection.destroy();
  });

  it("may bring less than a window asks for when it ends.", async () => {
    const connection = await listen({ minBytesPerWindow: 1_000 });
    connection.write(rawRequest({ headers: { "Content-Length": "2" } }));
    connection.write("x");
    await until(() => received === 1);
    mock.timers.tick(WINDOW_MS - 1);
    connection.write("x");
    assert.equal((await connection.reply())?.status, 200);
    connection.destroy();
  });

  it("is answered 408 in the window that brings too little, although it never stalls.", async () => {
    const connection = await listen({ minBytesPerWindow: 10 });
    connection.write(rawRequest({ headers: { "Content-Length": "200" } }));
    let sent = 0;
    const dribble = async (bytes: number): Promise<void> => {
      for (let count = 0; count < bytes; count += 1) {
        connection.write("x");
        sent += 1;
        await until(() => received === sent);
        mock.timers.tick(WINDOW_MS / 10);
      }
    };
    await dribble(20);
    assert.equal(connection.unread, 0);
    mock.timers.tick(WINDOW_MS / 10);
    await dribble(9);
    const reply = await connection.reply();
    assert.ok(reply);
    assertProblem(reply, 408, "ERR_BODY_TIMEOUT");
    connection.destroy();
  });

  it("leaves nothing behind when its client goes away.", async () => {
    const ends: unknown[] = [];
    const { log, events } = recordingLog();
    const handler: HttpHandler = async (request) => {
      await request.readBody({ write: () => {} }).catch((error: unknown) => ends.push(error));
      return { status: 200, headers: {} };
    };
    const options = { host: "127.0.0.1", port: 0, maxBodyBytes: MIB, handler, log };
    server = await HttpServer.listen({ ...options, limits: { bodyWindowMs: NEVER_MS } });
    for (let count = 1; count <= 100; count += 1) {
      const connection = await RawConnection.open(server.url);
      connection.write(rawRequest({ headers: { "Content-Length": "100000" } }));
      await connection.writeAll("x".repeat((count % 4) * 10_000));
      if (count % 2 === 0) connection.end();
      else connection.destroy();
      await until(() => ends.length === count);
      connection.destroy();
    }
    for (const error of ends) assert.ok(error instanceof SignerError && error.code === "ERR_BODY_INCOMPLETE");
    assert.deepEqual(events, []);
    await assertStopsByItself(server);
  });
});

describe("A client that goes away while its signature is made", () => {
  for (const outcome of ["comes", "fails"] as const) {
    it(`does no harm when the signature ${outcome}.`, async () => {
      const signature = deferred<Uint8Array>();
      let asked = 0;
      const sign = (): Promise<Uint8Array> => {
        asked += 1;
        return asked <= 20 ? signature.promise : Promise.resolve(Buffer.from("3000", "hex"));
      };
      const { url, server } = await start({ sign });
      for (let count = 1; count <= 20; count += 1) {
        const connection = await RawConnection.open(url);
        connection.write(rawRequest(GOOD));
        await until(() => asked === count);
        connection.destroy();
      }
      await assertSigns(url);
      if (outcome === "comes") signature.resolve(Buffer.from("3000", "hex"));
      else signature.reject(new SignerError("ERR_TOKEN_UNAVAILABLE", "Cannot sign: away"));
      await assertSigns(url);
      await assertStopsByItself(server);
    });
  }
});

describe("A client that sends much and is refused", () => {
  const large = Buffer.alloc(8 * MIB, "x");
  const chunked = { ...PDF_TYPE, "Transfer-Encoding": "chunked" };
  for (const [what, request, status] of [
    ["a length that is too large", { headers: PDF_TYPE, body: large }, 413],
    ["chunks that are too large", { headers: chunked, body: `7fffff\r\n${large}` }, 413],
    ["JSON that is too large beside the document", { headers: JSON_TYPE, body: large.subarray(MIB) }, 413],
    ["what is no JSON", { headers: JSON_TYPE, body: large.subarray(-MIB) }, 400],
    ["a chunk that is malformed", { headers: chunked, body: `3\r\nabc\r\nzz\r\n${large}` }, 400],
    ["the wrong type", { headers: { "Content-Type": "text/plain" }, body: large }, 415],
    ["an unknown path", { target: "/nowhere", body: large }, 404],
    ["a wrong method", { method: "PUT", body: large }, 405],
    ["an unknown expectation", { headers: { Expect: "x" }, body: large }, 417],
    ["a head without end", { headers: { X: large.toString() } }, 431],
  ] as const) {
    it(`reads the reply to ${what}, although it sends everything first.`, async () => {
      const { url } = await start({ maxBodyBytes: MIB, limits: { lingerMs: 30_000 } });
      const connection = await RawConnection.open(url);
      connection.pause();
      await connection.writeAll(rawRequest(request));
      connection.resume();
      assert.equal((await connection.reply())?.status, status);
      await connection.closed();
      assert.equal(connection.errorCode, undefined);
      assert.equal(connection.unread, 0);
    });
  }

  for (const head of [
    "POST /sign HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
    "NOT HTTP\r\n\r\n",
  ]) {
    it(`is cut off when it does not stop after ${head.slice(0, 8)}.`, async () => {
      const { url } = await start({ limits: { lingerMs: 100 } });
      const connection = await RawConnection.open(url, { isStubborn: true });
      connection.write(head);
      await until(async () => {
        if (!connection.isClosed) await connection.writeAll(`4000\r\n${"x".repeat(0x4000)}\r\n`);
        return connection.isClosed;
      });
      await assertSigns(url);
    });
  }
});

describe("A connection", () => {
  it("is cut off when its client does not read the replies.", async () => {
    const { url, server } = await start({ limits: { stalledMs: 200 } });
    const connection = await RawConnection.open(url);
    connection.pause();
    const requests = rawRequest({ method: "GET", target: "/certificate" }).toString().repeat(1_000);
    // More replies than the system's buffers take.
    for (let count = 0; count < 30; count += 1) connection.write(requests);
    await delay(100);
    await assertSigns(url);
    await assertStopsByItself(server);
    connection.destroy();
  });

  it("is not accepted beyond the limit, and is again when another has ended.", async () => {
    const { url } = await start({ limits: { maxConnections: 2 } });
    const connections = [await RawConnection.open(url), await RawConnection.open(url)];
    for (const connection of connections) {
      connection.write(rawRequest(GOOD));
      assert.equal((await connection.reply())?.status, 200);
    }
    const refused = await RawConnection.open(url);
    assert.equal(await refused.reply(), undefined);
    for (const connection of connections) connection.destroy();
    await until(async () => (await exchange(url, rawRequest(GOOD)))?.status === 200);
  });
});
