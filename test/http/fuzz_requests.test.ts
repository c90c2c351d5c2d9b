import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { DOCUMENT, ENCODED, GOOD, HASH, JSON_TYPE, PDF_TYPE } from "../support/hostile/row.ts";
import { startSoftwareService } from "../support/http_service.ts";
import { exchange, RawConnection, type RawReply, type RawRequest, rawRequest } from "../support/raw_http.ts";
import { SeededRandom } from "../support/seeded_random.ts";
import { assertStopsByItself } from "../support/stop.ts";

const CASES = 600;
const CONCURRENCY = 48;

/** What may come of a request that nobody meant. */
const STATUSES: ReadonlySet<number> = new Set([200, 204, 400, 404, 405, 408, 413, 415, 417, 422, 431]);

const VALID: readonly [RawRequest, ...RawRequest[]] = [
  GOOD,
  { headers: JSON_TYPE, body: JSON.stringify({ encodedContents: ENCODED, hash: HASH }) },
  { headers: { ...JSON_TYPE, Accept: "application/cms;q=0.9, */*;q=0.1" }, body: `{"hash":"${HASH}"}` },
  { headers: PDF_TYPE, body: DOCUMENT },
  {
    headers: { ...PDF_TYPE, "Transfer-Encoding": "chunked" },
    body: "3\r\nabc\r\n1;x=y\r\nd\r\n0\r\nX: y\r\n\r\n",
  },
  { headers: { ...PDF_TYPE, Expect: "100-continue" }, body: DOCUMENT },
  { ...GOOD, version: "HTTP/1.0", headers: { ...JSON_TYPE, Connection: "keep-alive" } },
  { method: "OPTIONS", headers: { Origin: "https://a.test", "Access-Control-Request-Method": "POST" } },
  { method: "GET", target: "/certificate?x=y" },
  { method: "HEAD", target: "/readyz" },
];

const INSERTIONS = [
  "\r\n",
  "\n",
  "\r",
  "\r\n\r\n",
  " ",
  "\t",
  "\u0000",
  ":",
  "/",
  "%",
  ",",
  "0",
  "-1",
  "99999999999",
  "chunked",
  "Content-Length: 5\r\n",
  "Content-Length: 999\r\n",
  "Transfer-Encoding: chunked\r\n",
  "Expect: 100-continue\r\n",
  "Connection: close\r\n",
  "Upgrade: h2c\r\nConnection: Upgrade\r\n",
  "Host: other\r\n",
  "0\r\n\r\n",
  "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
  "HTTP/1.1 200 OK\r\n\r\n",
  "\\",
  '"',
  "{",
  "}",
  "=",
] as const;

/** A request with changes in its body alone, or anywhere, or none. */
function hostileRequest(random: SeededRandom): Buffer {
  const request = random.pick(VALID);
  const where = random.next();
  if (where < 0.15) return rawRequest(request);
  if (where > 0.5) return random.mutated(rawRequest(request), INSERTIONS);
  return rawRequest({ ...request, body: random.mutated(Buffer.from(request.body ?? ""), INSERTIONS) });
}

/** Sends up to three requests on one connection, in two pieces, and reads until it is closed. */
async function attack(url: string, random: SeededRandom): Promise<number[]> {
  const bytes = Buffer.concat(Array.from({ length: 1 + random.below(3) }, () => hostileRequest(random)));
  const isHead = bytes.includes("HEAD ");
  const connection = await RawConnection.open(url);
  const statuses: number[] = [];
  try {
    const at = random.below(bytes.length + 1);
    await connection.writeAll(bytes.subarray(0, at));
    await connection.writeAll(bytes.subarray(at));
    if (random.isLucky(0.2)) connection.end();
    // Whatever was meant, the server ends it: by its limits if by nothing else.
    if (isHead) {
      await connection.closed();
    } else {
      for (let reply = await connection.reply(); reply !== undefined; reply = await connection.reply()) {
        checkReply(reply);
        if (reply.status >= 200) statuses.push(reply.status);
      }
    }
  } catch (error) {
    throw new Error(`It went wrong after ${JSON.stringify(bytes.toString("latin1"))}`, { cause: error });
  } finally {
    connection.destroy();
  }
  return statuses;
}

function checkReply({ status, headers, body }: RawReply): void {
  if (status === 100) return;
  assert.ok(STATUSES.has(status), `${status} ${body}`);
  if (status < 400) return;
  assert.equal(headers.get("content-type"), "application/problem+json");
  assert.equal((JSON.parse(body.toString()) as { status: number }).status, status);
}

describe("Requests that were changed at random", () => {
  it("are each answered or closed, never with a 5xx, and the service signs afterwards.", async () => {
    const { url, server, events } = await startSoftwareService({
      limits: { headersTimeoutMs: 300, bodyWindowMs: 200, keepAliveMs: 50, lingerMs: 50 },
    });
    const seen = new Set<number>();
    let next = 0;
    const worker = async (): Promise<void> => {
      while (next < CASES) {
        next += 1;
        for (const status of await attack(url, new SeededRandom(next))) seen.add(status);
      }
    };
    try {
      await Promise.all(Array.from({ length: CONCURRENCY }, worker));
      assert.equal((await exchange(url, rawRequest(GOOD)))?.status, 200);
    } finally {
      await assertStopsByItself(server);
    }
    assert.deepEqual(
      events.filter(({ level }) => level === "error"),
      [],
    );
    for (const status of [200, 204, 400, 408, 415, 422]) assert.ok(seen.has(status), `never ${status}`);
  });
});
