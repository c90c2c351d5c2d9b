import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { newBearerToken } from "../../lib/auth/bearer_token.ts";
import { softHsmBackEnd } from "../support/back_ends.ts";
import { compact, issuerKey, TestIssuer } from "../support/issuer.ts";
import { type ReloadableService, reloadableServiceOn } from "../support/service_on.ts";
import { hasLogged, SignClient } from "../support/sign_client.ts";
import { until } from "../support/until.ts";

const backEnd = softHsmBackEnd();
const client = new SignClient();
const KEYS = { HSM_KEY_ALGORITHM: "P-256", HSM_AUTO_PROVISION: "true", HSM_KEY_LABEL: "invoices, seal" };

describe("Tokens of an issuer", () => {
  let issuer: TestIssuer;
  let service: ReloadableService;
  const tokens: string[] = [];
  const bearer = async (...given: Parameters<TestIssuer["token"]>): Promise<string> => {
    const token = await issuer.token(...given);
    tokens.push(token);
    return `Bearer ${token}`;
  };
  let settings: Record<string, string>;
  before(async () => {
    issuer = await TestIssuer.start();
    await issuer.stop();
    settings = {
      ...KEYS,
      AUTH_JWT_ISSUER: issuer.url,
      AUTH_JWT_AUDIENCE: "hsm-signer",
      AUTH_JWT_CREDENTIALS_CLAIM: "credentials",
      AUTH_JWT_DIGEST_CLAIM: "hash",
    };
    service = await reloadableServiceOn(backEnd, settings);
  });
  after(async () => {
    await service.stop();
    await issuer.stop().catch(() => {});
  });
  const hash = randomBytes(32).toString("hex");
  const claims = { sub: "alice-4711", hash, credentials: ["invoices"] };

  test("cannot be judged before its keys were there once: the service starts, and says that it is not ready", async () => {
    const { status, code } = await client.ask(service.url, await bearer(claims), { hash });
    assert.deepEqual([status, code], [503, "ERR_ISSUER_UNAVAILABLE"]);
    const ready = await fetch(`${service.url}/readyz`);
    const problem = (await ready.json()) as Record<string, unknown>;
    assert.deepEqual([ready.status, problem["code"]], [503, "ERR_ISSUER_UNAVAILABLE"]);
    assert.deepEqual(problem["authentication"], {
      ways: ["jwt"],
      issuer: { keys: 0, problem: "the issuer's keys cannot be fetched" },
    });
    assert.equal(service.events("jwt.keys_unavailable").length, 1);
  });

  test("let in as soon as the issuer answers, without a restart", async () => {
    await issuer.listen();
    await until(async () => (await client.ask(service.url, await bearer(claims), { hash })).status === 200);
    assert.equal((await fetch(`${service.url}/readyz`)).status, 200);
    await hasLogged(service, { caller: "jwt:alice-4711", status: 200 });
  });

  test("sign the hash that they are for, with the credentials that they name, and nothing else", async () => {
    const authorization = await bearer(claims);
    for (const [given, code] of [
      [{ hash }, undefined],
      [{ hash, query: "?credential=invoices" }, undefined],
      [{}, "ERR_DIGEST_NOT_GRANTED"],
      [{ hash, query: "?credential=seal" }, "ERR_FORBIDDEN"],
    ] as const)
      assert.equal((await client.ask(service.url, authorization, given)).code, code);
    assert.equal(
      (await client.ask(service.url, await bearer({ ...claims, hash: undefined }), { hash })).status,
      401,
    );
    assert.equal(
      (await client.ask(service.url, await bearer({ ...claims, credentials: undefined }), { hash })).status,
      403,
    );
  });

  test("are refused for what is wrong with them", async () => {
    const past = Math.floor(Date.now() / 1000) - 60;
    for (const authorization of [
      await bearer({ ...claims, exp: past }),
      await bearer({ ...claims, aud: "other" }),
      await bearer(claims, { key: await issuerKey("first") }),
      `Bearer ${compact({ alg: "none" }, claims)}`,
      `Bearer ${newBearerToken()}`,
    ])
      assert.equal((await client.ask(service.url, authorization, { hash })).code, "ERR_UNAUTHENTICATED");
  });

  test("are judged by the keys of before, after a reload too, while the issuer does not answer", async () => {
    await issuer.stop();
    assert.equal(
      (await service.reload({ ...settings, CORS_ORIGINS: "https://a.test" }))["event"],
      "reloaded",
    );
    assert.equal((await client.ask(service.url, await bearer(claims), { hash })).status, 200);
    assert.equal((await fetch(`${service.url}/readyz`)).status, 200);
  });

  test("are neither in the log nor in an answer, and nor are their claims", async () => {
    const everything = client.told + JSON.stringify(service.events());
    for (const token of tokens) {
      const [, payload = "", signature = ""] = token.split(".");
      assert.ok(!everything.includes(payload.slice(0, 40)) && !everything.includes(signature.slice(0, 20)));
    }
    // What names the caller is the one thing that is wanted.
    assert.doesNotMatch(everything.replaceAll('"jwt:alice-4711"', ""), /alice-4711/);
  });
});
