import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { signatureAlgorithm } from "../../lib/algorithms.ts";
import type { BackEnd } from "../support/back_ends.ts";
import { type ReloadableService, reloadableServiceOn } from "../support/service_on.ts";
import { SteadyLoad } from "../support/steady_load.ts";

const p256 = signatureAlgorithm("P-256", "SHA-256");

/** What an operator changes under a running service. */
export function reloadSuite(backEnd: BackEnd): void {
  describe("A reload under load", () => {
    const [first, second] = [backEnd.keyLabel("former key"), backEnd.keyLabel("next key")];
    const settings = { HSM_KEY_ALGORITHM: "P-256", HSM_AUTO_PROVISION: "true" };
    let service: ReloadableService;
    let load: SteadyLoad;

    before(async () => {
      service = await reloadableServiceOn(backEnd, { ...settings, HSM_KEY_LABEL: first });
      load = new SteadyLoad({ url: service.url, algorithm: p256, concurrency: 6 });
    });
    after(async () => {
      await load.stop();
      await service.stop();
    });

    const certificate = async (query = ""): Promise<string> =>
      (await fetch(`${service.url}/certificate${query}`)).text();

    test("takes a new key and its certificate without losing a request", async () => {
      const former = await certificate();
      await load.answers(20);
      assert.equal((await service.reload({ ...settings, HSM_KEY_LABEL: second }))["event"], "reloaded");
      await load.answers(20);
      const next = await certificate();
      assert.notEqual(next, former);
      assert.ok(new X509Certificate(next).publicKey.asymmetricKeyType === "ec");
      const facts = (await (await fetch(`${service.url}/readyz`)).json()) as Record<string, unknown>;
      assert.equal(facts["credential"], second);
    });

    test("serves several credentials, each under its name", async () => {
      const outcome = await service.reload({ ...settings, HSM_KEY_LABEL: `${second}, ${first}` });
      assert.equal(outcome["event"], "reloaded", JSON.stringify(outcome));
      const other = new SteadyLoad({
        url: service.url,
        algorithm: p256,
        concurrency: 2,
        query: `?credential=${encodeURIComponent(first)}`,
      });
      await other.answers(20);
      const { signed, sent } = await other.stop();
      assert.equal(signed, sent);
      assert.notEqual(await certificate(), await certificate(`?credential=${encodeURIComponent(first)}`));
      const facts = (await (await fetch(`${service.url}/readyz`)).json()) as { credentials: object[] };
      assert.equal(facts.credentials.length, 2);
    });

    test("that cannot be, names every mistake, and leaves all as it was", async () => {
      const before = await certificate();
      for (const [values, patterns] of [
        [{ HSM_KEY_LABEL: "nobody", CERT_DAYS: "x", PORTS: "1" }, [/^PORTS in /, /^CERT_DAYS must be/]],
        [
          { HSM_KEY_LABEL: `${first}:P-384, nobody`, HSM_KEY_ALGORITHM: "P-256" },
          [/it is P-256, and HSM_KEY_ALGORITHM says P-384/, /key pair "nobody" on the token/],
        ],
      ] as const) {
        const { event, mistakes } = await service.reload(values);
        assert.equal(event, "reload.failed");
        const text = (mistakes as string[]).join("\n");
        for (const pattern of patterns) assert.match(text, new RegExp(pattern.source, "m"));
      }
      assert.equal(await certificate(), before);
      await load.answers(10);
    });

    test("takes a chain that was put in place of the former one", async () => {
      const path = join(service.directory, "certs", `${second}.pem`);
      const before = await certificate();
      writeFileSync(path, "no certificate");
      assert.equal((await service.reload({ ...settings, HSM_KEY_LABEL: second }))["event"], "reload.failed");
      assert.equal(await certificate(), before);
      writeFileSync(path, before);
      assert.equal((await service.reload({ ...settings, HSM_KEY_LABEL: second }))["event"], "reloaded");
      assert.equal(await certificate(), before);
    });

    test("names what needs a restart, and changes the rest", async () => {
      const outcome = await service.reload({
        ...settings,
        HSM_KEY_LABEL: second,
        HSM_SESSIONS: "3",
        MAX_BODY_BYTES: "5",
        CORS_ORIGINS: "https://app.example.com",
      });
      assert.equal(outcome["event"], "reloaded");
      assert.deepEqual(service.events("reload.needs_restart").at(-1)?.["settings"], [
        "HSM_SESSIONS",
        "MAX_BODY_BYTES",
      ]);
      const response = await fetch(`${service.url}/healthz`, {
        headers: { origin: "https://app.example.com" },
      });
      assert.equal(response.headers.get("access-control-allow-origin"), "https://app.example.com");
    });

    test("lost no request, and signed nothing wrongly, in all of that", async () => {
      const { sent, signed, wrong, others } = await load.stop();
      assert.deepEqual({ signed, wrong, others }, { signed: sent, wrong: 0, others: [] });
      assert.ok(sent > 50);
    });
  });
}
