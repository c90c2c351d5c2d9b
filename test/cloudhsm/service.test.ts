import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { type ServiceProcess, ServiceStartError, startServiceProcess } from "../../dev/service_process.ts";
import { type SignatureAlgorithm, signatureAlgorithm } from "../../lib/algorithms.ts";
import { Token } from "../../lib/hsm/token.ts";
import { Secret } from "../../lib/secret.ts";
import { ALL_ALGORITHMS } from "../support/algorithms.ts";
import { fails } from "../support/fails.ts";
import { judgeSignedData } from "../support/judges.ts";
import { recordingLog } from "../support/recording_log.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { openTestToken } from "../support/token.ts";
import { cloudHsmSimulator } from "./simulator.ts";

/** For services in processes of their own; made first, since this process's environment is the latest one's. */
const apart = cloudHsmSimulator();
const simulator = cloudHsmSimulator();
const p256 = signatureAlgorithm("P-256", "SHA-256");
const rsa = signatureAlgorithm("RSA-2048", "SHA-256");

describe("one login", () => {
  const token = openTestToken(simulator);
  after(() => token.close(5_000));

  test("every algorithm's signature costs one C_SignInit and one C_Sign: two requests to the cluster", async () => {
    for (const algorithm of ALL_ALGORITHMS) {
      const label = algorithm.key.name;
      const { privateKey } =
        token.findKeyPair(label, algorithm) ?? (await token.generateKeyPair(label, algorithm));
      const before = simulator.clusterRequests();
      for (let count = 0; count < 5; count += 1) await token.sign(privateKey, algorithm, randomBytes(100));
      assert.equal(simulator.clusterRequests() - before, 10, label);
    }
  });

  test("random bytes come from the token", () => {
    const before = simulator.calls("C_GenerateRandom");
    assert.equal(token.randomBytes(32).length, 32);
    assert.equal(simulator.calls("C_GenerateRandom"), before + 1);
  });
});

describe("other settings", () => {
  test("where C_SignInit does not ask for the key, a signature costs one request", async () => {
    simulator.configure({ validatesKeyAtInit: false });
    const token = openTestToken(simulator);
    try {
      const pair = token.findKeyPair("P-256", p256);
      assert.ok(pair);
      const before = simulator.clusterRequests();
      await token.sign(pair.privateKey, p256, randomBytes(100));
      assert.equal(simulator.clusterRequests() - before, 1);
    } finally {
      await token.close(5_000);
    }
  });
});

describe("a wrong PIN", () => {
  test("is tried once, and leaves the user as far from being locked as can be", async () => {
    simulator.configure({ pinTries: 2 });
    const before = { logins: simulator.calls("C_Login"), refused: simulator.pinsRefused() };
    const open = (pin: string): Token =>
      Token.open({
        modulePath: simulator.modulePath,
        label: undefined,
        pin: new Secret(pin, "the test"),
        sessions: 2,
        log: recordingLog().log,
      });
    assert.throws(() => open("signer:4711-wrong"), fails("ERR_PIN_REJECTED", /CKR_PIN_INCORRECT/));
    assert.equal(simulator.calls("C_Login") - before.logins, 1);
    assert.equal(simulator.pinsRefused() - before.refused, 1);
    // The right one is still taken, and the only token needs no label.
    await open(simulator.pin).close(1_000);
    for (const code of ["CKR_PIN_INCORRECT", "CKR_PIN_INCORRECT", "CKR_PIN_LOCKED"]) {
      assert.throws(() => open("signer:4711-wrong"), fails("ERR_PIN_REJECTED", new RegExp(code)));
    }
  });
});

describe("the whole service", () => {
  const directory = join(temporaryDirectory(), "certs");
  const document = randomBytes(10_000);

  function settings(
    algorithm: SignatureAlgorithm,
    more: Record<string, string> = {},
  ): Record<string, string> {
    return {
      ...apart.environment,
      HSM_MODULE: apart.modulePath,
      HSM_PIN: apart.pin,
      HSM_TOKEN_LABEL: "hsm1",
      HSM_KEY_LABEL: algorithm.key.name,
      HSM_KEY_ALGORITHM: algorithm.key.name,
      CERT_DIR: directory,
      PORT: "0",
      ...more,
    };
  }

  async function signsAsJudgesWant(service: ServiceProcess, algorithm: SignatureAlgorithm): Promise<string> {
    const certificate = await (await fetch(`${service.url}/certificate`)).text();
    const response = await fetch(`${service.url}/sign`, {
      method: "POST",
      headers: { "content-type": "application/pdf", accept: "application/cms" },
      body: document,
    });
    assert.equal(response.status, 200, await response.clone().text());
    const p7 = Buffer.from(await response.arrayBuffer());
    for (const { judge, valid, text } of judgeSignedData(p7, document, certificate, algorithm)) {
      assert.ok(valid, `${judge}: ${text}`);
    }
    return certificate;
  }

  for (const algorithm of [rsa, p256]) {
    test(`makes an ${algorithm.key.name} pair, signs, and after a restart presents the same certificate`, async () => {
      const first = await startServiceProcess({
        environment: settings(algorithm, { HSM_AUTO_PROVISION: "true" }),
      });
      const certificate = await signsAsJudgesWant(first, algorithm);
      assert.deepEqual(await first.stop(), { code: 0, signal: null, complaint: "" });
      const pairs = apart.calls("C_GenerateKeyPair");

      // In a new process every handle is another one.
      const second = await startServiceProcess({ environment: settings(algorithm) });
      assert.equal(await signsAsJudgesWant(second, algorithm), certificate);
      const path = join(directory, `${algorithm.key.name}.pem`);
      assert.equal(readFileSync(path, "utf8"), certificate);
      const before = apart.clusterRequests();
      for (let count = 0; count < 3; count += 1) await signsAsJudgesWant(second, algorithm);
      assert.equal(apart.clusterRequests() - before, 6);
      assert.deepEqual(await second.stop(), { code: 0, signal: null, complaint: "" });
      assert.equal(apart.calls("C_GenerateKeyPair"), pairs);
    });
  }

  test("does not start with a wrong PIN, after one login", async () => {
    const before = apart.calls("C_Login");
    await assert.rejects(
      startServiceProcess({ environment: settings(rsa, { HSM_PIN: "signer:4711-wrong" }) }),
      (error: unknown) => {
        assert.ok(error instanceof ServiceStartError);
        assert.equal(error.ending?.code, 3);
        assert.match(error.message, /CKR_PIN_INCORRECT/);
        assert.doesNotMatch(error.message, /4711/);
        return true;
      },
    );
    assert.equal(apart.calls("C_Login") - before, 1);
    assert.equal(apart.pinsRefused(), 1);
  });
});
