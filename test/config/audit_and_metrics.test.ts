import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Config, parseConfig } from "../../lib/config/config.ts";
import { ConfigError, type Environment } from "../../lib/config/settings.ts";

const parse = (environment: Environment, file?: string): Config =>
  parseConfig(
    { HSM_MODULE: "/lib/module.so", HSM_PIN: "1234", ...environment, CONFIG_FILE: file && "file" },
    { fileExists: () => true, readFile: () => file ?? "", distinguishedNameFault: () => undefined },
  );

function mistakesOf(environment: Environment): readonly string[] {
  try {
    parse(environment);
    return [];
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.mistakes;
  }
}

describe("The audit trail", () => {
  it("is not kept unless a file is named.", () => {
    assert.equal(parse({}).audit, undefined);
  });

  it("has the defaults of the README.", () => {
    const { audit } = parse({ AUDIT_FILE: "audit.jsonl" });
    assert.deepEqual(audit, {
      file: "audit.jsonl",
      sync: "checkpoint",
      checkpointSeconds: 60,
      checkpointRecords: 1_000,
      maxBytes: 64 * 1024 ** 2,
      onFailure: "stop",
    });
    assert.ok(Object.isFrozen(audit));
  });

  it("takes what is said of it.", () => {
    const { audit } = parse(
      {},
      [
        "AUDIT_FILE=/var/log/audit.jsonl",
        "AUDIT_SYNC=always",
        "AUDIT_CHECKPOINT_SECONDS=1",
        "AUDIT_CHECKPOINT_RECORDS=1",
        "AUDIT_MAX_BYTES=65536",
        "AUDIT_ON_FAILURE=continue",
      ].join("\n"),
    );
    assert.deepEqual(audit, {
      file: "/var/log/audit.jsonl",
      sync: "always",
      checkpointSeconds: 1,
      checkpointRecords: 1,
      maxBytes: 65_536,
      onFailure: "continue",
    });
  });

  for (const [name, values] of Object.entries({
    AUDIT_SYNC: ["never", "true", "ALWAYS"],
    AUDIT_CHECKPOINT_SECONDS: ["0", "86401", "1m"],
    AUDIT_CHECKPOINT_RECORDS: ["0", "1000001"],
    AUDIT_MAX_BYTES: ["65535", "1073741825", "64M"],
    AUDIT_ON_FAILURE: ["ignore", "true"],
  })) {
    it(`refuses ${name}=${values.join(", ")}.`, () => {
      for (const value of values) {
        const mistakes = mistakesOf({ AUDIT_FILE: "a", [name]: value });
        assert.equal(mistakes.length, 1);
        assert.match(mistakes[0] ?? "", new RegExp(`^${name} must be`));
      }
    });
  }

  it("has no settings without a file.", () => {
    const mistakes = mistakesOf({ AUDIT_SYNC: "always", AUDIT_ON_FAILURE: "continue" });
    assert.equal(mistakes.length, 2);
    for (const mistake of mistakes) assert.match(mistake, /AUDIT_FILE does not say where/);
  });
});

describe("The metrics", () => {
  it("are shown nowhere unless somebody wants it.", () => {
    assert.deepEqual(parse({}).metrics, { onService: false, listener: undefined });
  });

  it("are shown on the service's own address, or on one of their own, on loopback, or on both.", () => {
    assert.deepEqual(parse({ METRICS: "true" }).metrics, { onService: true, listener: undefined });
    const listener = { host: "127.0.0.1", port: 9464 };
    assert.deepEqual(parse({ METRICS_PORT: "9464" }).metrics, { onService: false, listener });
    assert.deepEqual(parse({ METRICS_PORT: "9464", METRICS: "true", METRICS_HOST: "::1" }).metrics, {
      onService: true,
      listener: { host: "::1", port: 9464 },
    });
  });

  it("are shown to others than this machine only where that is said in words.", () => {
    const wide = { METRICS_PORT: "9464", METRICS_HOST: "0.0.0.0" };
    const [mistake, ...others] = mistakesOf(wide);
    assert.match(mistake ?? "", /^METRICS_HOST .*ALLOW_METRICS_NETWORK=true/);
    assert.deepEqual(others, []);
    assert.equal(parse({ ...wide, ALLOW_METRICS_NETWORK: "true" }).metrics.listener?.host, "0.0.0.0");
    // What allows callers says nothing about the metrics.
    assert.equal(mistakesOf({ ...wide, ALLOW_UNAUTHENTICATED_NETWORK: "true" }).length, 1);
  });

  it("have no address of their own without a port.", () => {
    for (const name of ["METRICS_HOST", "ALLOW_METRICS_NETWORK"]) {
      const value = name === "METRICS_HOST" ? "127.0.0.1" : "true";
      assert.match(mistakesOf({ [name]: value })[0] ?? "", /METRICS_PORT does not say which/);
    }
    assert.match(mistakesOf({ METRICS_PORT: "x" })[0] ?? "", /^METRICS_PORT must be/);
    assert.match(mistakesOf({ METRICS_PORT: "1", METRICS_HOST: "host" })[0] ?? "", /^METRICS_HOST must be/);
  });
});

describe("The log", () => {
  it("holds everything unless less is wanted.", () => {
    assert.equal(parse({}).logLevel, "info");
    assert.equal(parse({ LOG_LEVEL: "warning" }).logLevel, "warning");
    assert.match(
      mistakesOf({ LOG_LEVEL: "debug" })[0] ?? "",
      /^LOG_LEVEL must be one of info, warning, error/,
    );
  });
});
