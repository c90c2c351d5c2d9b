import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { type Deferred, deferred } from "../../lib/deferred.ts";
import { GOOD, GOOD_BODY, JSON_TYPE } from "../support/hostile/row.ts";
import {
  type SoftwareService,
  type SoftwareServiceOptions,
  startSoftwareService,
} from "../support/http_service.ts";
import { RawConnection, rawRequest } from "../support/raw_http.ts";
import { assertStopsByItself } from "../support/stop.ts";
import { until } from "../support/until.ts";

const DER = Buffer.from("3000", "hex");
const HEALTH = rawRequest({ method: "GET", target: "/healthz" });
/** Longer than any test waits. */
const NEVER_MS = 600_000;

let service: SoftwareService | undefined;
async function start(options: SoftwareServiceOptions = {}): Promise<SoftwareService> {
  service = await startSoftwareService(options);
  return service;
}
afterEach(() => service?.server.stop(0));

/** Signatures that the test gives when it likes, in the order in which they were asked for. */
function signaturesAtWill(): { asked: Deferred<Uint8Array>[]; sign: () => Promise<Uint8Array> } {
  const asked: Deferred<Uint8Array>[] = [];
  const sign = (): Promise<Uint8Array> => {
    const signature = deferred<Uint8Array>();
    asked.push(signature);
    return signature.promise;
  };
  return { asked, sign };
}

describe("One connection", () => {
  it("carries many requests one after the other, refused ones included.", async () => {
    const { url } = await start();
    const connection = await RawConnection.open(url);
    for (let count = 0; count < 20; count += 1) {
      connection.write(rawRequest(GOOD));
      const reply = await connection.reply();
      assert.equal(reply?.status, 200);
      assert.equal(reply.headers.get("connection"), "keep-alive");
      connection.write(rawRequest({ headers: JSON_TYPE, body: "{}" }));
      assert.equal((await connection.reply())?.status, 422);
      connection.write(HEALTH);
      assert.equal((await connection.reply())?.status, 200);
    }
    connection.destroy();
  });

  it("carries requests that are sent before their replies, and replies in order.", async () => {
    const { url } = await start();
    const connection = await RawConnection.open(url);
    const requests = [
      [rawRequest(GOOD), 200],
      [HEALTH, 200],
      [rawRequest({ headers: JSON_TYPE, body: "{}" }), 422],
      [rawRequest({ method: "GET", target: "/nowhere" }), 404],
      [rawRequest({ method: "OPTIONS" }), 204],
      [rawRequest(GOOD), 200],
    ] as const;
    connection.write(Buffer.concat(requests.map(([bytes]) => bytes)));
    for (const [, status] of requests) assert.equal((await connection.reply())?.status, status);
    connection.destroy();
  });

  it("replies in order when a later signature comes first.", async () => {
    const { asked, sign } = signaturesAtWill();
    const { url } = await start({ sign });
    const connection = await RawConnection.open(url);
    const headers = { ...JSON_TYPE, Accept: "application/cms" };
    const request = rawRequest({ ...GOOD, headers });
    connection.write(Buffer.concat([request, request, HEALTH]));
    await until(() => asked.length === 2);
    asked[1]?.resolve(Buffer.from("second"));
    await delay(20);
    assert.equal(connection.unread, 0);
    asked[0]?.resolve(Buffer.from("first"));
    assert.equal((await connection.reply())?.body.toString(), "first");
    assert.equal((await connection.reply())?.body.toString(), "second");
    assert.match((await connection.reply())?.body.toString() ?? "", /ok/);
    connection.destroy();
  });

  it("is closed when nothing more is asked for a while.", async () => {
    const { url } = await start({ limits: { keepAliveMs: 50 } });
    const connection = await RawConnection.open(url);
    connection.write(HEALTH);
    assert.equal((await connection.reply())?.status, 200);
    await connection.closed();
    assert.equal(connection.errorCode, undefined);
  });
});

describe("Stopping the server", () => {
  it("lets what is in flight finish, and tells the clients that it was the last.", async () => {
    const { asked, sign } = signaturesAtWill();
    const { url, server } = await start({ sign });
    const connections = await Promise.all(Array.from({ length: 5 }, () => RawConnection.open(url)));
    for (const connection of connections) connection.write(rawRequest(GOOD));
    await until(() => asked.length === connections.length);
    let hasStopped = false;
    const stopped = assertStopsByItself(server).then(() => {
      hasStopped = true;
    });
    await assert.rejects(RawConnection.open(url), { code: "ECONNREFUSED" });
    assert.equal(hasStopped, false);
    for (const signature of asked) signature.resolve(DER);
    for (const connection of connections) {
      const reply = await connection.reply();
      assert.equal(reply?.status, 200);
      assert.equal(reply.headers.get("connection"), "close");
      await connection.closed();
      assert.equal(connection.errorCode, undefined);
    }
    await stopped;
  });

  it("lets a body that is still coming arrive.", async () => {
    const { url, server } = await start();
    const connection = await RawConnection.open(url);
    const request = rawRequest({ ...GOOD, headers: { ...JSON_TYPE, Expect: "100-continue" } });
    connection.write(request.subarray(0, -GOOD_BODY.length));
    assert.equal((await connection.reply())?.status, 100);
    const stopped = assertStopsByItself(server);
    await assert.rejects(RawConnection.open(url), { code: "ECONNREFUSED" });
    connection.write(GOOD_BODY);
    const reply = await connection.reply();
    assert.equal(reply?.status, 200);
    assert.equal(reply.headers.get("connection"), "close");
    await stopped;
  });

  it("answers the first request of a connection that was accepted before.", async () => {
    const { url, server } = await start();
    const [silent, prompt] = [await RawConnection.open(url), await RawConnection.open(url)];
    const other = await RawConnection.open(url);
    other.write(HEALTH);
    // Says that the server has seen the others.
    assert.equal((await other.reply())?.status, 200);
    const stopped = assertStopsByItself(server);
    await other.closed();
    prompt.write(rawRequest(GOOD));
    const reply = await prompt.reply();
    assert.equal(reply?.status, 200);
    assert.equal(reply.headers.get("connection"), "close");
    await Promise.all([prompt.closed(), silent.closed(), stopped]);
    assert.equal(prompt.errorCode, undefined);
  });

  for (const [what, begin] of [
    ["has never sent anything", []],
    ["has sent half a head", ["POST /sign HTTP/1.1\r\nHo"]],
    ["waits for its next request", [HEALTH]],
    ["has sent half a head after its first request", [HEALTH, "POST /sign HTTP/1.1\r\nHo"]],
  ] as const) {
    it(`closes a connection that ${what}.`, async () => {
      const { url, server } = await start({ limits: { headersTimeoutMs: NEVER_MS } });
      const connection = await RawConnection.open(url);
      for (const bytes of begin) {
        connection.write(bytes);
        if (Buffer.isBuffer(bytes)) assert.equal((await connection.reply())?.status, 200);
      }
      // The other connection's reply says that the server has seen this one.
      const other = await RawConnection.open(url);
      other.write(HEALTH);
      assert.equal((await other.reply())?.status, 200);
      await assertStopsByItself(server);
      await connection.closed();
      other.destroy();
    });
  }

  it("closes a connection whose reply is just being sent, whatever the moment.", async () => {
    for (let moment = 0; moment < 40; moment += 1) {
      const { asked, sign } = signaturesAtWill();
      const { url, server } = await start({ sign, limits: { keepAliveMs: NEVER_MS } });
      const connection = await RawConnection.open(url);
      // With the next request begun: such a connection is not idle to node:http, and has no reply due.
      connection.write(Buffer.concat([rawRequest(GOOD), Buffer.from("POST /sign")]));
      await until(() => asked.length === 1);
      asked[0]?.resolve(DER);
      for (let turn = 0; turn < moment; turn += 1) await undefined;
      const stopped = assertStopsByItself(server);
      assert.equal((await connection.reply())?.status, 200);
      await stopped;
      await connection.closed();
    }
  });

  it("cuts what has not ended when the grace is over.", async () => {
    const { asked, sign } = signaturesAtWill();
    const { url, server } = await start({ sign, limits: { bodyWindowMs: NEVER_MS } });
    const [signing, sending] = [await RawConnection.open(url), await RawConnection.open(url)];
    signing.write(rawRequest(GOOD));
    sending.write(rawRequest(GOOD).subarray(0, -1));
    await until(() => asked.length === 1);
    await server.stop(100);
    await Promise.all([signing.closed(), sending.closed()]);
    assert.equal(await signing.reply(), undefined);
    asked[0]?.resolve(DER);
  });
});
