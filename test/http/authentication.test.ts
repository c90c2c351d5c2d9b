import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import { Access } from "../../lib/auth/access.ts";
import { hashOfBearerToken, newBearerToken } from "../../lib/auth/bearer_token.ts";
import type { Caller, Presented } from "../../lib/caller.ts";
import { CallerLimits } from "../../lib/caller_limits.ts";
import { type Deferred, deferred } from "../../lib/deferred.ts";
import { SignerError } from "../../lib/errors.ts";
import { GOOD, GOOD_BODY, HASH, JSON_TYPE, PDF_TYPE, sha256 } from "../support/hostile/row.ts";
import { type SoftwareService, startSoftwareService } from "../support/http_service.ts";
import { assertProblem, assertTellsNothing } from "../support/problem.ts";
import { exchange, RawConnection, rawRequest } from "../support/raw_http.ts";
import { recordingLog } from "../support/recording_log.ts";
import { until } from "../support/until.ts";

const token = newBearerToken();
const restricted = newBearerToken();
const somebody: Caller = { name: "token:somebody", credentials: undefined, digest: undefined };

/** The HTTP side of a service with the credentials "software", the default one, and "seal". */
async function start(
  authenticate: (presented: Presented) => Caller | Promise<Caller>,
  more: Parameters<typeof startSoftwareService>[0] = {},
): Promise<SoftwareService> {
  const service: SoftwareService = await startSoftwareService({
    ...more,
    routes: { authenticate, ...more.routes },
  });
  return service;
}

/** Of the last request. */
function factsOf({ events }: SoftwareService): Readonly<Record<string, unknown>> {
  const { facts }: { facts?: Record<string, unknown> } = Object(events.at(-1)?.fields);
  return facts ?? {};
}

const bearer = (value: string) => ({ ...JSON_TYPE, Authorization: `Bearer ${value}` });

describe("POST /sign, where callers are authenticated,", () => {
  let service: SoftwareService;
  const digests: string[] = [];
  before(async () => {
    const grantOf = (name: string, text: string, credentials: readonly string[]) => ({
      name,
      key: hashOfBearerToken(text).toString("hex"),
      credentials,
      expires: undefined,
    });
    const access = await Access.open({
      config: {
        tokens: [grantOf("all", token, ["*"]), grantOf("one", restricted, ["seal"])],
        certificates: undefined,
        jwt: undefined,
      },
      labels: ["software", "seal"],
      now: () => new Date(),
      log: recordingLog().log,
    });
    const sign = async (digest: Uint8Array): Promise<Uint8Array> => {
      digests.push(Buffer.from(digest).toString("hex"));
      return Buffer.from("3000", "hex");
    };
    service = await start((presented) => access.authenticate(presented), { sign, limits: { lingerMs: 500 } });
  });
  beforeEach(() => digests.splice(0));
  after(() => service.server.stop(0));

  it("signs for whoever is known, and names him in what is observed.", async () => {
    const reply = await exchange(service.url, rawRequest({ ...GOOD, headers: bearer(token) }));
    assert.equal(reply?.status, 200);
    assert.deepEqual(digests, [HASH]);
    const facts = factsOf(service);
    assert.deepEqual(
      [facts["caller"], facts["address"], facts["refusal"]],
      ["token:all", "127.0.0.1", undefined],
    );
  });

  for (const [what, headers, challenge] of [
    ["nothing", {}, /^Bearer realm="hsm-signer"$/],
    ["an empty field", { Authorization: "" }, /^Bearer realm="hsm-signer"$/],
    ["another scheme", { Authorization: "Basic dXNlcjpwYXNz" }, /^Bearer realm="hsm-signer"$/],
    [
      "the token under another name",
      { "X-Authorization": `Bearer ${token}`, Cookie: token },
      /^Bearer realm="hsm-signer"$/,
    ],
    ["the token without a scheme", { Authorization: token }, /^Bearer realm="hsm-signer"$/],
    ["another token", bearer(newBearerToken()), /error="invalid_token"/],
    ["a scheme alone", { Authorization: "Bearer" }, /error="invalid_token"/],
    ["14,000 letters", bearer("a".repeat(14_000)), /error="invalid_token"/],
    ["14,000 letters that begin well", bearer(token + "a".repeat(14_000)), /error="invalid_token"/],
    ["14,000 commas", { Authorization: ",".repeat(14_000) }, /^Bearer realm="hsm-signer"$/],
    ["many words", { Authorization: `Bearer ${"a ".repeat(5_000)}` }, /error="invalid_token"/],
    ["letters that are not ASCII", bearer("\u00ff\u00fe"), /error="invalid_token"/],
    ["a quote", bearer('"'), /error="invalid_token"/],
    ["a JWT without a signature", bearer("eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0."), /error="invalid_token"/],
    ["what every object has", bearer("__proto__"), /error="invalid_token"/],
  ] as const) {
    it(`answers 401 to ${what}, and tells nothing.`, async () => {
      const bytes = rawRequest({ ...GOOD, headers: { ...JSON_TYPE, ...headers } });
      const reply = await exchange(service.url, bytes);
      assert.ok(reply);
      assertProblem(reply, 401, "ERR_UNAUTHENTICATED");
      assert.match(reply.headers.get("www-authenticate") ?? "", challenge);
      assert.equal(reply.headers.get("cache-control"), "no-store");
      if (!what.includes("nothing"))
        assertTellsNothing(reply, Buffer.from(Object.values(headers).join("\n")));
      assert.deepEqual(digests, []);
    });
  }

  for (const [what, fields] of [
    ["two tokens", [`Authorization: Bearer ${token}`, `Authorization: Bearer ${restricted}`]],
    ["the same token twice", [`Authorization: Bearer ${token}`, `authorization: Bearer ${token}`]],
    ["a token and another scheme", ["AUTHORIZATION: Basic x", `Authorization: Bearer ${token}`]],
  ] as const) {
    it(`answers 400 to ${what} in fields of their own: which one is meant?`, async () => {
      const head = `POST /sign HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${GOOD_BODY.length}`;
      const reply = await exchange(service.url, `${head}\r\n${fields.join("\r\n")}\r\n\r\n${GOOD_BODY}`);
      assert.ok(reply);
      assertProblem(reply, 400, "ERR_REQUEST_MALFORMED");
      assert.deepEqual(digests, []);
    });
  }

  it("answers 431 to a token that is larger than a head may be.", async () => {
    const reply = await exchange(service.url, rawRequest({ ...GOOD, headers: bearer("a".repeat(20_000)) }));
    assert.ok(reply);
    assertProblem(reply, 431, "ERR_HEADERS_TOO_LARGE");
  });

  for (const [label, status, code] of [
    [undefined, 403, "ERR_FORBIDDEN"],
    ["software", 403, "ERR_FORBIDDEN"],
    ["nowhere", 403, "ERR_FORBIDDEN"],
    ["*", 403, "ERR_FORBIDDEN"],
    ["", 403, "ERR_FORBIDDEN"],
  ] as const) {
    it(`answers ${status} to the credential ${label} that is not granted, whether it is there or not.`, async () => {
      const target = label === undefined ? "/sign" : `/sign?credential=${encodeURIComponent(label)}`;
      const reply = await exchange(service.url, rawRequest({ ...GOOD, target, headers: bearer(restricted) }));
      assert.ok(reply);
      assertProblem(reply, status, code);
      assert.deepEqual(digests, []);
    });
  }

  it("signs with the credential that is granted.", async () => {
    const target = "/sign?credential=seal";
    const reply = await exchange(service.url, rawRequest({ ...GOOD, target, headers: bearer(restricted) }));
    assert.equal(reply?.status, 200);
  });

  it("says who asks for what is not his, and why it was refused, in what is observed alone.", async () => {
    await exchange(service.url, rawRequest({ ...GOOD, headers: bearer(restricted) }));
    const facts = factsOf(service);
    assert.deepEqual(
      [facts["caller"], facts["refusal"]],
      ["token:one", "Cannot sign: this credential is not granted to this caller"],
    );
  });

  for (const [headers, status] of [
    [{}, 401],
    [bearer(restricted), 403],
  ] as const) {
    it(`answers ${status} before the body is sent, wanted or looked at.`, async () => {
      const connection = await RawConnection.open(service.url);
      const expecting = { ...headers, ...PDF_TYPE, Expect: "100-continue", "Content-Length": "1000" };
      connection.write(rawRequest({ headers: expecting }));
      assert.equal((await connection.reply())?.status, status);
      connection.destroy();
      for (const bad of [
        { "Content-Type": "text/html" },
        { "Content-Encoding": "gzip" },
        { "Content-Length": "99999999999" },
      ]) {
        const reply = await exchange(service.url, rawRequest({ headers: { ...headers, ...bad }, body: "" }));
        assert.equal(reply?.status, status, JSON.stringify(bad));
      }
      assert.deepEqual(digests, []);
    });
  }

  it("is what is protected; chain, life and readiness are for everybody.", async () => {
    for (const target of ["/certificate", "/healthz", "/readyz"])
      assert.equal((await exchange(service.url, rawRequest({ method: "GET", target })))?.status, 200);
    for (const [method, target, status] of [
      ["GET", "/sign", 405],
      ["OPTIONS", "/sign", 204],
      ["POST", "/nowhere", 404],
    ] as const)
      assert.equal((await exchange(service.url, rawRequest({ method, target })))?.status, status);
  });

  it("shows no token in anything that was logged.", () => {
    const logged = JSON.stringify(service.events);
    for (const text of [token, restricted]) assert.ok(!logged.includes(text.slice(10, 30)));
    assert.ok(logged.includes("token:all"));
  });
});

describe("A grant that is bound to a hash", () => {
  let service: SoftwareService;
  const digests: string[] = [];
  before(async () => {
    const caller: Caller = { name: "jwt:a", credentials: undefined, digest: Buffer.from(HASH, "hex") };
    const sign = async (digest: Uint8Array): Promise<Uint8Array> => {
      digests.push(Buffer.from(digest).toString("hex"));
      return Buffer.from("3000", "hex");
    };
    service = await start(async () => caller, { sign });
  });
  after(() => service.server.stop(0));

  it("signs that, and nothing else.", async () => {
    const other = sha256("other");
    for (const [body, status] of [
      [`{"hash":"${HASH}"}`, 200],
      [`{"hash":"${HASH.toUpperCase()}"}`, 200],
      [`{"hash":"${other}"}`, 403],
      [`{"encodedContents":"${Buffer.from("other").toString("base64")}"}`, 403],
    ] as const) {
      const reply = await exchange(service.url, rawRequest({ headers: JSON_TYPE, body }));
      assert.ok(reply);
      if (status === 403) assertProblem(reply, 403, "ERR_DIGEST_NOT_GRANTED");
      else assert.equal(reply.status, 200);
    }
    assert.deepEqual(digests, [HASH, HASH]);
  });
});

describe("Where nobody can say who asks,", () => {
  it("the answer is 503 with Retry-After, and the reason stays inside.", async () => {
    const service = await start(() =>
      Promise.reject(new SignerError("ERR_ISSUER_UNAVAILABLE", "Cannot verify: https://issuer.internal")),
    );
    const reply = await exchange(service.url, rawRequest({ ...GOOD, headers: bearer("a.b.c") }));
    assert.ok(reply);
    assertProblem(reply, 503, "ERR_ISSUER_UNAVAILABLE");
    assert.equal(reply.headers.get("retry-after"), "5");
    assert.doesNotMatch(reply.body.toString(), /issuer\.internal/);
    await service.server.stop(0);
  });

  it("a client that goes away meanwhile does no harm.", async () => {
    const answer = deferred<Caller>();
    let asked = 0;
    const service = await start(() => {
      asked += 1;
      return asked === 1 ? answer.promise : somebody;
    });
    const connection = await RawConnection.open(service.url);
    connection.write(rawRequest(GOOD));
    await until(() => asked === 1);
    connection.destroy();
    answer.resolve(somebody);
    assert.equal((await exchange(service.url, rawRequest(GOOD)))?.status, 200);
    await service.server.stop(0);
    assert.deepEqual(
      service.events.filter(({ level }) => level === "error"),
      [],
    );
  });
});

describe("A caller who asks for much", () => {
  const signature = Buffer.from("3000", "hex");
  let service: SoftwareService | undefined;
  /** The first signature, which waits for the test. */
  let first: Deferred<Uint8Array>;
  let asked = 0;
  async function startLimited(limits: CallerLimits): Promise<string> {
    first = deferred();
    asked = 0;
    const sign = async (): Promise<Uint8Array> => {
      asked += 1;
      return asked === 1 ? first.promise : signature;
    };
    const authenticate = ({ authorization = "" }: Presented): Caller => ({
      ...somebody,
      name: authorization,
    });
    service = await start(authenticate, { sign, routes: { admit: ({ name }) => limits.admit(name) } });
    return service.url;
  }
  afterEach(() => service?.server.stop(0));
  const as = (name: string) => rawRequest({ ...GOOD, headers: { ...JSON_TYPE, Authorization: name } });

  it("is answered 429 with Retry-After beyond his rate, before his document is read; others are not.", async () => {
    const url = await startLimited(new CallerLimits({ rate: 1, burst: 2, inFlight: undefined }, () => 0));
    first.resolve(signature);
    for (const name of ["a", "a", "b"]) assert.equal((await exchange(url, as(name)))?.status, 200);
    const connection = await RawConnection.open(url);
    const headers = { ...PDF_TYPE, Authorization: "a", Expect: "100-continue", "Content-Length": "9" };
    connection.write(rawRequest({ headers }));
    const reply = await connection.reply();
    assert.ok(reply);
    assertProblem(reply, 429, "ERR_RATE_LIMITED");
    assert.equal(reply.headers.get("retry-after"), "1");
    connection.destroy();
    assert.equal((await exchange(url, as("b")))?.status, 200);
  });

  for (const outcome of ["signed", "refused by the token", "given up by the client", "malformed"] as const) {
    it(`has his place again when his request is ${outcome}.`, async () => {
      const url = await startLimited(new CallerLimits({ rate: undefined, burst: 0, inFlight: 1 }));
      const connection = await RawConnection.open(url);
      // It never gets as far as a signature.
      if (outcome === "malformed") first.resolve(signature);
      connection.write(outcome === "malformed" ? as("a").subarray(0, -1) : as("a"));
      let reply: Awaited<ReturnType<typeof exchange>>;
      await until(async () => {
        // Whoever comes before the first one has his place, and is signed for.
        if (outcome !== "malformed" && asked === 0) return false;
        reply = await exchange(url, as("a"));
        return reply?.status === 429;
      });
      assert.ok(reply);
      assertProblem(reply, 429, "ERR_TOO_MANY_REQUESTS_IN_FLIGHT");
      assert.equal((await exchange(url, as("b")))?.status, 200);
      if (outcome === "malformed") connection.write("x");
      if (outcome === "given up by the client") connection.destroy();
      if (outcome === "refused by the token")
        first.reject(new SignerError("ERR_TOKEN_BUSY", "Cannot sign: busy"));
      else first.resolve(signature);
      await until(async () => (await exchange(url, as("a")))?.status === 200);
      connection.destroy();
    });
  }
});
