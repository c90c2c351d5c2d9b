import assert from "node:assert/strict";
import type { IncomingMessage } from "node:http";
import { describe, it } from "node:test";
import { ClientAddresses } from "../../lib/http/client_address.ts";
import { startSoftwareService } from "../support/http_service.ts";
import { exchange, rawRequest } from "../support/raw_http.ts";

const PROXIES = ["10.0.0.0/8", "192.168.1.1", "fd00::/8"];

function addressOf(peer: string | undefined, forwarded?: string, proxies: readonly string[] = PROXIES) {
  const request = { socket: { remoteAddress: peer }, headers: { "x-forwarded-for": forwarded } };
  return new ClientAddresses(proxies).of(request as unknown as IncomingMessage);
}

describe("The address of whoever sent a request", () => {
  for (const [what, peer, forwarded, address] of [
    ["that of the connection", "203.0.113.7", undefined, "203.0.113.7"],
    ["that of the connection, whatever a stranger says", "203.0.113.7", "1.1.1.1", "203.0.113.7"],
    ["that of the proxy where it says nothing", "10.0.0.1", undefined, "10.0.0.1"],
    ["what a proxy says", "10.0.0.1", "203.0.113.7", "203.0.113.7"],
    ["what a proxy says, not what was said to it", "10.0.0.1", "1.1.1.1, 203.0.113.7", "203.0.113.7"],
    ["what the first of several proxies says", "10.0.0.1", "1.1.1.1, 203.0.113.7, 10.9.9.9", "203.0.113.7"],
    ["that of a proxy where all are", "10.0.0.1", "10.0.0.3,10.0.0.2", "10.0.0.3"],
    ["what a single address says", "192.168.1.1", "203.0.113.7", "203.0.113.7"],
    ["not what its neighbour says", "192.168.1.2", "203.0.113.7", "192.168.1.2"],
    ["what a proxy of IPv6 says", "fd12::1", "2001:db8::7", "2001:db8::7"],
    ["what a proxy says to a socket of both families", "::ffff:10.0.0.1", "203.0.113.7", "203.0.113.7"],
    ["of IPv4 where a socket of both families has it", "::ffff:203.0.113.7", undefined, "203.0.113.7"],
    ["without its port", "10.0.0.1", "203.0.113.7:4711", "203.0.113.7"],
    ["without brackets and port", "10.0.0.1", "[2001:db8::7]:4711", "2001:db8::7"],
    ["without brackets", "10.0.0.1", "[2001:db8::7]", "2001:db8::7"],
    ["what was good right of garbage", "10.0.0.1", "1.1.1.1, x, 10.0.0.2", "10.0.0.2"],
    ["the proxy's for garbage", "10.0.0.1", "unknown", "10.0.0.1"],
    ["the proxy's for nothing", "10.0.0.1", "", "10.0.0.1"],
    ["the proxy's for commas", "10.0.0.1", ",,,", "10.0.0.1"],
    ["the proxy's for no address", "10.0.0.1", "256.1.1.1", "10.0.0.1"],
    ["the proxy's for an address and more", "10.0.0.1", '203.0.113.7"}', "10.0.0.1"],
    ["nothing where the connection is gone", undefined, "203.0.113.7", undefined],
  ] as const) {
    it(`is ${what}.`, () => assert.equal(addressOf(peer, forwarded), address));
  }

  it("is found at once in a long list.", () => {
    assert.equal(addressOf("10.0.0.1", "10.0.0.2,".repeat(1_500).slice(0, -1)), "10.0.0.2");
    assert.equal(addressOf("10.0.0.1", ":".repeat(16_000)), "10.0.0.1");
  });

  it("is nobody's word where no proxy is trusted.", () => {
    assert.equal(addressOf("10.0.0.1", "203.0.113.7", []), "10.0.0.1");
  });

  it("stands in what is observed of a request.", async () => {
    const seen: unknown[] = [];
    const service = await startSoftwareService({
      routes: { observe: ({ facts }) => seen.push(facts.address) },
      trustedProxies: ["127.0.0.1"],
    });
    const ask = (headers: Record<string, string>) =>
      exchange(service.url, rawRequest({ method: "GET", target: "/healthz", headers }));
    await ask({});
    await ask({ "X-Forwarded-For": "1.1.1.1, 203.0.113.7" });
    await ask({ Forwarded: "for=1.1.1.1", "X-Real-IP": "1.1.1.1", "X-Forwarded-Host": "x" });
    service.server.renew({});
    await ask({ "X-Forwarded-For": "203.0.113.7" });
    await service.server.stop(0);
    assert.deepEqual(seen, ["127.0.0.1", "203.0.113.7", "127.0.0.1", "127.0.0.1"]);
  });
});
