import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { signatureAlgorithm } from "../../lib/algorithms.ts";
import { SignerError } from "../../lib/errors.ts";
import type { RoutedCredential } from "../../lib/http/routes.ts";
import { type SoftwareService, startSoftwareService } from "../support/http_service.ts";

const hashes = { standard: "SHA-256", "another one+": "SHA-384" } as const;

function routed(label: keyof typeof hashes): RoutedCredential {
  return {
    label,
    serialNumber: "01",
    hash: signatureAlgorithm("P-256", hashes[label]).hash,
    sign: async () => Buffer.from(label),
    certificatePem: `certificate of ${label}`,
  };
}

describe("The credential of a request", () => {
  let service: SoftwareService;
  before(async () => {
    service = await startSoftwareService({
      routes: {
        credential: (label = "standard") => {
          if (label === "standard" || label === "another one+") return routed(label);
          throw new SignerError("ERR_CREDENTIAL_UNKNOWN", "Cannot sign: there is no such credential");
        },
      },
    });
  });
  after(() => service.server.stop(1_000));

  const sign = (query: string, body: string, type = "application/pdf"): Promise<Response> =>
    fetch(`${service.url}/sign${query}`, {
      method: "POST",
      headers: { "content-type": type, accept: "application/cms" },
      body,
    });

  for (const [query, label] of [
    ["", "standard"],
    ["?", "standard"],
    ["?mode=ca", "standard"],
    ["?credential=standard", "standard"],
    ["?mode=ca&credential=another%20one%2B", "another one+"],
    ["?credential=another+one%2b", "another one+"],
  ] as const) {
    it(`is "${label}" for /sign${query}.`, async () => {
      const response = await sign(query, "document");
      assert.equal(await response.text(), label);
      const certificate = await fetch(`${service.url}/certificate${query}`);
      assert.equal(await certificate.text(), `certificate of ${label}`);
    });
  }

  for (const query of ["?credential=", "?credential=nobody", "?credential=STANDARD", "?credential=%FF"]) {
    it(`is not found for ${query}, with a code of its own.`, async () => {
      for (const response of [
        await sign(query, "document"),
        await fetch(`${service.url}/certificate${query}`),
      ]) {
        const problem = (await response.json()) as Record<string, unknown>;
        assert.deepEqual([response.status, problem["code"]], [404, "ERR_CREDENTIAL_UNKNOWN"]);
      }
    });
  }

  it("is named once.", async () => {
    const response = await sign("?credential=standard&credential=standard", "document");
    const problem = (await response.json()) as Record<string, unknown>;
    assert.deepEqual([response.status, problem["code"]], [400, "ERR_REQUEST_MALFORMED"]);
  });

  it("decides of which hash the digest must be.", async () => {
    const hash = JSON.stringify({ hash: "00".repeat(48) });
    assert.equal((await sign("?credential=another%20one%2B", hash, "application/json")).status, 200);
    const refused = await sign("", hash, "application/json");
    assert.equal(refused.status, 422);
    assert.equal(((await refused.json()) as Record<string, unknown>)["code"], "ERR_DIGEST_INVALID");
  });
});

describe("Readiness", () => {
  it("says the facts when it refuses, too.", async () => {
    const service = await startSoftwareService({
      routes: {
        readiness: () => Promise.reject(new SignerError("ERR_TOKEN_HANGS", "Cannot sign")),
        facts: () => ({ sessions: { leased: 4, overdue: 4 } }),
      },
    });
    const response = await fetch(`${service.url}/readyz`);
    const { code, sessions } = (await response.json()) as Record<string, unknown>;
    assert.deepEqual([response.status, code, sessions], [503, "ERR_TOKEN_HANGS", { leased: 4, overdue: 4 }]);
    await service.server.stop(1_000);
  });
});
