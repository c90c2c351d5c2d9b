import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { GOOD, JSON_TYPE } from "../support/hostile/row.ts";
import { type SoftwareService, startSoftwareService } from "../support/http_service.ts";
import { exchange, type RawReply, type RawRequest, rawRequest } from "../support/raw_http.ts";

const APP = "https://app.example.com";
const OTHER = "http://localhost:3000";

/** Origins that are none of the configured ones, however much they look like them. */
const LOOK_ALIKES: readonly string[] = [
  "https://app.example.com.evil.test",
  "https://evilapp.example.com",
  "https://sub.app.example.com",
  "https://example.com",
  "https://app.example.com:443",
  "https://app.example.com:8443",
  "https://app.example.com/",
  "https://app.example.com ,https://evil.test",
  "http://app.example.com",
  "HTTPS://APP.EXAMPLE.COM",
  "https://app.example.com@evil.test",
  "https://evil.test/https://app.example.com",
  "https://evil.test",
  "http://localhost",
  "http://localhost:30000",
  "http://127.0.0.1:3000",
  "null",
  "*",
  "undefined",
  "",
];

const PREFLIGHT = {
  "Access-Control-Request-Method": "POST",
  "Access-Control-Request-Headers": "content-type",
};

function corsFields(reply: RawReply | undefined): Record<string, string> {
  assert.ok(reply, "the connection was closed without a reply");
  return Object.fromEntries([...reply.headers].filter(([name]) => /^(access-control-|vary$)/.test(name)));
}

/** Starts a service of these origins around the tests, and gives what sends it a request. */
function serve(corsOrigins: readonly string[]): (request: RawRequest) => Promise<RawReply | undefined> {
  let service: SoftwareService | undefined;
  before(async () => {
    service = await startSoftwareService({ routes: { corsOrigins } });
  });
  after(() => service?.server.stop(0));
  return (request) => exchange(service?.url ?? "", rawRequest(request));
}

const signFrom = (origin: string): RawRequest => ({ ...GOOD, headers: { ...JSON_TYPE, Origin: origin } });
const preflightFrom = (origin: string, target = "/sign"): RawRequest => ({
  method: "OPTIONS",
  target,
  headers: { Origin: origin, ...PREFLIGHT },
});

describe("Without an origin in the configuration,", () => {
  const send = serve([]);

  it("no reply has a CORS field, whatever asks.", async () => {
    for (const request of [
      GOOD,
      signFrom(APP),
      preflightFrom(APP),
      { ...signFrom(APP), body: "{" },
      { ...signFrom(APP), target: "/nowhere" },
      { method: "GET", target: "/certificate", headers: { Origin: "*" } },
    ]) {
      assert.deepEqual(corsFields(await send(request)), {});
    }
  });

  it("a preflight is answered as plain OPTIONS.", async () => {
    const reply = await send(preflightFrom(APP));
    assert.equal(reply?.status, 204);
    assert.equal(reply.headers.get("allow"), "POST, OPTIONS");
  });
});

describe("With origins in the configuration,", () => {
  const send = serve([APP, OTHER]);
  const permission = (origin: string): Record<string, string> => ({
    vary: "Origin",
    "access-control-allow-origin": origin,
    "access-control-expose-headers": "retry-after, www-authenticate, x-request-id",
  });

  it("each of them, and no more than it, may read the replies.", async () => {
    for (const origin of [APP, OTHER]) {
      const reply = await send(signFrom(origin));
      assert.equal(reply?.status, 200);
      assert.deepEqual(corsFields(reply), permission(origin));
    }
  });

  for (const [method, target, allowed] of [
    ["POST", "/sign", "POST"],
    ["GET", "/certificate", "GET, HEAD"],
    ["GET", "/healthz", "GET, HEAD"],
    ["GET", "/readyz", "GET, HEAD"],
    ["DELETE", "/sign", "POST"],
  ] as const) {
    it(`a preflight for ${method} ${target} is answered with what the path allows.`, async () => {
      const headers = { Origin: APP, ...PREFLIGHT, "Access-Control-Request-Method": method };
      const reply = await send({ method: "OPTIONS", target, headers });
      assert.equal(reply?.status, 204);
      assert.equal(reply.body.length, 0);
      assert.deepEqual(corsFields(reply), {
        ...permission(APP),
        "access-control-allow-methods": allowed,
        "access-control-allow-headers": "accept, authorization, content-type, x-request-id",
        "access-control-max-age": "600",
      });
    });
  }

  it("a preflight for an unknown path allows no method.", async () => {
    const reply = await send(preflightFrom(APP, "/nowhere"));
    assert.equal(reply?.headers.get("access-control-allow-methods"), "");
  });

  it("OPTIONS without what a preflight asks is plain OPTIONS.", async () => {
    const reply = await send({ method: "OPTIONS", headers: { Origin: APP } });
    assert.equal(reply?.status, 204);
    assert.equal(reply.headers.get("allow"), "POST, OPTIONS");
    assert.deepEqual(corsFields(reply), permission(APP));
  });

  for (const origin of LOOK_ALIKES) {
    it(`a page of ${JSON.stringify(origin)} is given no permission, but its answer varies by origin.`, async () => {
      for (const request of [signFrom(origin), preflightFrom(origin), preflightFrom(origin, "/nowhere")]) {
        assert.deepEqual(corsFields(await send(request)), { vary: "Origin" });
      }
    });
  }

  it("two Origin fields are none of them.", async () => {
    const reply = await send({ ...GOOD, headers: { ...JSON_TYPE, Origin: APP, origin: OTHER } });
    assert.deepEqual(corsFields(reply), { vary: "Origin" });
  });

  it("a client without an origin is answered, and told that the answer varies.", async () => {
    const reply = await send(GOOD);
    assert.equal(reply?.status, 200);
    assert.deepEqual(corsFields(reply), { vary: "Origin" });
  });

  for (const [what, request, status] of [
    ["malformed JSON", { body: "{" }, 400],
    ["an unknown path", { target: "/nowhere" }, 404],
    ["a wrong method", { method: "PUT" }, 405],
    ["a wrong type", { headers: { "Content-Type": "text/plain" } }, 415],
    ["a wrong hash", { body: '{"hash":"00"}' }, 422],
    ["a body that is too large", { headers: { ...JSON_TYPE, "Content-Length": "99999999" } }, 413],
  ] as const) {
    it(`the page may read the refusal of ${what}.`, async () => {
      const headers = { ...JSON_TYPE, ...("headers" in request ? request.headers : {}), Origin: APP };
      const reply = await send({ ...GOOD, ...request, headers });
      assert.equal(reply?.status, status);
      assert.deepEqual(corsFields(reply), permission(APP));
    });
  }
});

describe("With * in the configuration,", () => {
  const send = serve(["*"]);

  for (const origin of [APP, "http://evil.test", "null"]) {
    it(`a page of ${origin} may use the service.`, async () => {
      const reply = await send(signFrom(origin));
      assert.equal(reply?.status, 200);
      const permission = {
        "access-control-allow-origin": "*",
        "access-control-expose-headers": "retry-after, www-authenticate, x-request-id",
      };
      assert.deepEqual(corsFields(reply), permission);
      assert.deepEqual(corsFields(await send(preflightFrom(origin))), {
        ...permission,
        "access-control-allow-methods": "POST",
        "access-control-allow-headers": "accept, authorization, content-type, x-request-id",
        "access-control-max-age": "600",
      });
    });
  }

  it("no reply lets a page send its user's credentials.", async () => {
    for (const request of [signFrom(APP), preflightFrom(APP)]) {
      assert.equal((await send(request))?.headers.get("access-control-allow-credentials"), undefined);
    }
  });
});
