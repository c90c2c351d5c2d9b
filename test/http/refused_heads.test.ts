import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { Refused } from "../../lib/http/exchange.ts";
import { startSoftwareService } from "../support/http_service.ts";
import { exchange, RawConnection, rawRequest } from "../support/raw_http.ts";
import { assertStopsByItself } from "../support/stop.ts";
import { until } from "../support/until.ts";

const refused: Refused[] = [];
const { server, url, events } = await startSoftwareService({
  refused: (refusal) => refused.push(refusal),
  limits: { headersTimeoutMs: 500 },
});
after(() => assertStopsByItself(server));

const requestLines = (): unknown[] => events.filter(({ event }) => event === "request");

for (const [what, bytes, status, code] of [
  ["what is no HTTP", "GARBAGE\r\n\r\n", 400, "ERR_REQUEST_MALFORMED"],
  [
    "a head that is too large",
    rawRequest({ headers: { x: "y".repeat(20_000) } }),
    431,
    "ERR_HEADERS_TOO_LARGE",
  ],
  ["a head that never ends", "GET / HTTP/1.1\r\nHost: a\r\n", 408, "ERR_BODY_TIMEOUT"],
  ["a request for a tunnel", "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "ERR_REQUEST_MALFORMED"],
] as const) {
  test(`${what} is told of once, under an id that the client has too`, async () => {
    refused.length = 0;
    const before = requestLines().length;
    const reply = await exchange(url, bytes);
    assert.equal(reply?.status, status);
    const id = reply?.headers.get("x-request-id");
    assert.match(id ?? "", /^[\da-f-]{36}$/);
    assert.deepEqual(refused, [{ id, status, code }]);
    assert.equal(requestLines().length, before);
  });
}

test("a request whose body turns out to be no HTTP is told of as a request, and not twice", async () => {
  refused.length = 0;
  const before = requestLines().length;
  const connection = await RawConnection.open(url);
  connection.write(rawRequest({ headers: { "Transfer-Encoding": "chunked" }, body: "no chunk\r\n" }));
  await connection.closed();
  await until(() => requestLines().length === before + 1);
  assert.deepEqual(refused, []);
});

test("a client that connects and goes away again is told of by nobody", async () => {
  refused.length = 0;
  const connection = await RawConnection.open(url);
  connection.destroy();
  await exchange(url, rawRequest({ method: "GET", target: "/healthz", headers: { Connection: "close" } }));
  assert.deepEqual(refused, []);
});
