import assert from "node:assert/strict";
import { after, afterEach, beforeEach, describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { Access } from "../../lib/auth/access.ts";
import { IssuerKeys, type IssuerTimes } from "../../lib/auth/issuer_keys.ts";
import type { Caller } from "../../lib/caller.ts";
import type { JwtConfig } from "../../lib/config/authentication.ts";
import { fails } from "../support/fails.ts";
import { issuerKey, TestIssuer } from "../support/issuer.ts";
import { type RecordedEvent, recordingLog } from "../support/recording_log.ts";
import { until } from "../support/until.ts";

const NEVER_MS = 3_600_000;
const DISCOVERY = "/.well-known/openid-configuration";
const HOUR_MS = 3_600_000;

let issuer: TestIssuer;
beforeEach(async () => {
  issuer = await TestIssuer.start();
});
const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
  return issuer.stop().catch(() => {});
});

/** Keys whose clock stands still until it is told to go on, and which look again only when they are asked to. */
async function keysOf(times: Partial<IssuerTimes> = {}) {
  let ms = 0;
  const { log, events } = recordingLog();
  const all = { refreshMs: NEVER_MS, retryMs: NEVER_MS, maxRetryMs: NEVER_MS, ...times };
  const keys = new IssuerKeys({ issuer: issuer.url, log, times: all, clock: () => ms });
  closers.push(() => keys.close());
  await keys.start();
  const pass = (more: number): void => {
    ms += more;
  };
  return { keys, pass, events };
}

const reasons = (events: readonly RecordedEvent[]): string[] =>
  events
    .filter(({ event }) => event === "jwt.keys_unavailable")
    .map(({ fields }) => String((fields as { reason?: unknown }).reason));

describe("The keys of an issuer", () => {
  it("are found by discovery.", async () => {
    const { keys, events } = await keysOf();
    assert.equal(keys.current().size, 1);
    assert.deepEqual(issuer.asked, [DISCOVERY, "/keys"]);
    assert.deepEqual(keys.facts(), { keys: 1, ageSeconds: 0 });
    assert.deepEqual(events, [{ level: "info", event: "jwt.keys", fields: { issuer: issuer.url, keys: 1 } }]);
  });

  it("are looked for once, however many ask.", async () => {
    const { keys, pass } = await keysOf();
    pass(NEVER_MS);
    assert.deepEqual(
      await Promise.all(Array.from({ length: 50 }, () => keys.refresh())),
      Array(50).fill(true),
    );
    assert.equal(issuer.lookedAt, 2);
  });

  it("are not looked for again at once, whoever makes up names of keys.", async () => {
    const { keys, pass } = await keysOf({ cooldownMs: 30_000 });
    pass(29_999);
    for (let count = 0; count < 100; count += 1) assert.equal(await keys.refresh(), false);
    assert.equal(issuer.lookedAt, 1);
    pass(1);
    assert.equal(await keys.refresh(), true);
    assert.equal(await keys.refresh(), false);
    assert.equal(issuer.lookedAt, 2);
  });

  it("are looked at from time to time, so that one that was withdrawn is not believed for long.", async () => {
    const { keys } = await keysOf({ refreshMs: 5 });
    issuer.keys = [await issuerKey("second"), await issuerKey("third")];
    await until(() => keys.current().size === 2);
    issuer.keys = issuer.keys.slice(1);
    await until(() => keys.current().size === 1);
    keys.close();
    await delay(20);
    const { length } = issuer.asked;
    await delay(50);
    assert.equal(issuer.asked.length, length);
  });

  it("serve for a day while the issuer does not answer, and no longer.", async () => {
    const { keys, pass, events } = await keysOf({ staleMs: 24 * HOUR_MS });
    await issuer.stop();
    pass(24 * HOUR_MS);
    await assert.rejects(keys.refresh(), fails("ERR_ISSUER_UNAVAILABLE", /may have changed/));
    assert.equal(keys.current().size, 1);
    assert.deepEqual(keys.facts(), {
      keys: 1,
      ageSeconds: 86_400,
      problem: "the issuer's keys cannot be fetched",
    });
    assert.match(reasons(events).join(), /^Cannot fetch http:/);
    pass(1);
    assert.throws(() => keys.current(), fails("ERR_ISSUER_UNAVAILABLE", /are too old/));
    await issuer.listen();
    pass(60_000);
    assert.equal(await keys.refresh(), true);
    assert.equal(keys.current().size, 1);
    assert.equal(events.at(-1)?.event, "jwt.keys");
  });

  it("are tried for again and again where the issuer is not there at first, and that is said once.", async () => {
    await issuer.stop();
    const { keys, events } = await keysOf({ retryMs: 1, maxRetryMs: 5 });
    assert.throws(() => keys.current(), fails("ERR_ISSUER_UNAVAILABLE", /are not there yet/));
    await delay(50);
    assert.equal(events.length, 1);
    await issuer.listen();
    await until(() => events.length === 2);
    assert.equal(keys.current().size, 1);
    assert.equal(events[1]?.event, "jwt.keys");
  });
});

const json = (value: unknown) => (_: unknown, response: { end(text: string): void }) => {
  response.end(JSON.stringify(value));
};

describe("What an issuer sends", () => {
  for (const [what, path, answer, reason] of [
    ["is an error", DISCOVERY, (_, response) => response.writeHead(500).end("s3cret"), /it answered 500/],
    ["is nowhere", "/keys", (_, response) => response.writeHead(404).end("s3cret"), /keys: it answered 404/],
    ["is garbage", "/keys", (_, response) => response.end("<html>s3cret"), /its answer is not JSON/],
    ["is empty", "/keys", (_, response) => response.end(), /its answer is not JSON/],
    [
      "is cut off",
      "/keys",
      (_, response) =>
        response.writeHead(200, { "content-length": "9" }).end("s3c", () => response.destroy()),
      /Cannot fetch/,
    ],
    ["is no HTTP", "/keys", (request) => request.socket.end("s3cret\r\n\r\n"), /Cannot fetch/],
    ["is null", DISCOVERY, json(null), /it is of another issuer/],
    [
      "is of another issuer",
      DISCOVERY,
      json({ issuer: "https://s3cret.test", jwks_uri: "https://s3cret.test" }),
      /it is of another issuer/,
    ],
    ["is no key set", "/keys", json({ s3cret: [] }), /it is not a key set/],
    ["has no key of a known kind", "/keys", json({ keys: [{ kty: "XY" }] }), /there is no key/],
    ["has a secret", "/keys", json({ keys: [{ kty: "oct", k: "s3cret" }] }), /a secret key among the keys/],
    [
      "goes on for ever",
      "/keys",
      (_, response) => {
        const more = (): void => {
          if (!response.destroyed) response.write(" ".repeat(65_536), more);
        };
        more();
      },
      /more than 262144 bytes/,
    ],
    [
      "unpacks to too much",
      "/keys",
      (_, response) => {
        response.writeHead(200, { "content-encoding": "gzip" }).end(gzipSync(Buffer.alloc(50_000_000, " ")));
      },
      /more than 262144 bytes/,
    ],
    ["does not come", "/keys", () => {}, /no answer for 2000 ms/],
    [
      "comes byte by byte",
      DISCOVERY,
      (_, response) => {
        const timer = setInterval(() => response.write(" "), 20);
        response.once("close", () => clearInterval(timer));
      },
      /no answer for 2000 ms/,
    ],
    [
      "is elsewhere",
      "/keys",
      (_, response) => response.writeHead(302, { location: "/other" }).end(),
      /Cannot fetch.*redirect/,
    ],
    [
      "is elsewhere for good",
      DISCOVERY,
      (_, response) => response.writeHead(308, { location: "/other" }).end(),
      /redirect/,
    ],
  ] satisfies readonly (readonly [string, string, Parameters<TestIssuer["instead"]["set"]>[1], RegExp])[]) {
    it(`is not taken when it ${what}; the keys of before serve on, and nothing of it is logged.`, async () => {
      const { keys, pass, events } = await keysOf({ fetchMs: /2000/.test(reason.source) ? 2_000 : 60_000 });
      issuer.instead.set(path, answer);
      issuer.instead.set("/other", json(await issuer.jwks()));
      pass(60_000);
      await assert.rejects(keys.refresh(), fails("ERR_ISSUER_UNAVAILABLE"));
      assert.equal(keys.current().size, 1);
      assert.equal(reasons(events).length, 1);
      assert.match(reasons(events).join(), reason);
      assert.doesNotMatch(JSON.stringify(events), /s3cret/);
      assert.ok(!issuer.asked.includes("/other"));
      issuer.instead.clear();
      pass(60_000);
      assert.equal(await keys.refresh(), true);
    });
  }

  for (const uri of [
    "http://issuer.example.com/keys",
    "ftp://127.0.0.1/keys",
    "/keys",
    "file:///keys",
    "",
    1,
    null,
  ]) {
    it(`is not followed to ${JSON.stringify(uri)}.`, async () => {
      issuer.instead.set(DISCOVERY, json({ issuer: issuer.url, jwks_uri: uri }));
      const { keys, events } = await keysOf();
      assert.throws(() => keys.current(), fails("ERR_ISSUER_UNAVAILABLE"));
      assert.match(reasons(events).join(), /its jwks_uri is not an https URL/);
    });
  }

  it("may hold keys of kinds that nobody knows yet.", async () => {
    const { keys: good } = await issuer.jwks();
    issuer.instead.set(
      "/keys",
      json({ keys: [{ kty: "NEW" }, ...good, { kty: "RSA", use: "enc" }], more: 1 }),
    );
    assert.equal((await keysOf()).keys.current().size, 1);
  });
});

describe("A token of an issuer", () => {
  const { log, events } = recordingLog();
  async function open(former?: Access, more: Partial<JwtConfig> = {}) {
    const jwt: JwtConfig = {
      issuer: issuer.url,
      audiences: ["hsm-signer"],
      keysFile: undefined,
      algorithms: ["ES256"],
      toleranceSeconds: 0,
      nameClaim: "sub",
      credentialsClaim: undefined,
      digestClaim: undefined,
      ...more,
    };
    const access = await Access.open({
      config: { tokens: undefined, certificates: undefined, jwt },
      labels: ["standard"],
      now: () => new Date(),
      log,
      former,
      issuerTimes: { cooldownMs: 0, refreshMs: NEVER_MS, retryMs: NEVER_MS, maxRetryMs: NEVER_MS },
    });
    closers.push(() => access.close());
    const ask = async (token: string): Promise<Caller> =>
      access.authenticate({ authorization: `Bearer ${token}`, certificate: undefined });
    return { access, ask };
  }

  it("is believed as soon as it is signed with a new key, and those of the former one no more.", async () => {
    const { ask } = await open();
    const [former] = issuer.keys;
    const early = await issuer.token();
    assert.equal((await ask(early)).name, "jwt:alice");
    issuer.keys = [await issuerKey("second")];
    const tokens = await Promise.all(Array.from({ length: 20 }, () => issuer.token()));
    const callers = await Promise.all(tokens.map(ask));
    assert.ok(callers.every(({ name }) => name === "jwt:alice"));
    assert.equal(issuer.lookedAt, 2);
    await assert.rejects(ask(early), fails("ERR_UNAUTHENTICATED", /does not have/));
    await assert.rejects(
      ask(await issuer.token({}, { key: former })),
      fails("ERR_UNAUTHENTICATED", /does not have/),
    );
  });

  it("cannot be judged where its key is new and the issuer does not answer; others go on.", async () => {
    const { ask } = await open();
    const known = await issuer.token();
    const unknown = await issuer.token({}, { key: await issuerKey("second") });
    await issuer.stop();
    await assert.rejects(ask(unknown), fails("ERR_ISSUER_UNAVAILABLE"));
    assert.equal((await ask(known)).name, "jwt:alice");
  });

  it("is believed after a reload, too, while the issuer does not answer.", async () => {
    const former = await open();
    const token = await issuer.token();
    await issuer.stop();
    const { access, ask } = await open(former.access);
    former.access.close(access);
    assert.equal((await ask(token)).name, "jwt:alice");
    assert.deepEqual(access.facts(), {
      authentication: { ways: ["jwt"], issuer: { keys: 1, ageSeconds: 0 } },
    });
    access.requireUsable();
  });

  it("is not believed after a reload for another issuer.", async () => {
    const former = await open();
    const token = await issuer.token();
    const other = await TestIssuer.start();
    closers.push(() => other.stop());
    const { ask } = await open(former.access, { issuer: other.url });
    await assert.rejects(ask(token), fails("ERR_UNAUTHENTICATED"));
  });

  it("is believed on where a reload names an issuer that does not answer: that may be mistyped.", async () => {
    const former = await open();
    const token = await issuer.token();
    await assert.rejects(
      open(former.access, { issuer: "http://127.0.0.1:9" }),
      fails("ERR_CONFIGURATION", /^Cannot take http:\/\/127\.0\.0\.1:9 \(AUTH_JWT_ISSUER\)/),
    );
    assert.equal((await former.ask(token)).name, "jwt:alice");
  });

  it("is not believed any more when its issuer has withdrawn all keys, and is again when there is one.", async () => {
    const { access, ask } = await open();
    const token = await issuer.token();
    const kept = issuer.keys;
    issuer.keys = [];
    await assert.rejects(
      ask(await issuer.token({}, { key: await issuerKey("second") })),
      fails("ERR_UNAUTHENTICATED", /does not have/),
    );
    await assert.rejects(ask(token), fails("ERR_UNAUTHENTICATED", /does not have/));
    access.requireUsable();
    issuer.keys = kept;
    assert.equal((await ask(token)).name, "jwt:alice");
  });

  after(() => assert.doesNotMatch(JSON.stringify(events), /eyJ|alice/));
});
