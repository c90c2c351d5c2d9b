import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { EXIT } from "../../lib/exit_codes.ts";
import { type CloudHsmBackEnd, cloudHsmBackEnd } from "../support/back_ends.ts";
import { complaintOf } from "../support/complaint.ts";
import { type ReadSample, readOpenMetrics, sampleValue } from "../support/openmetrics.ts";
import { exchange } from "../support/raw_http.ts";
import { type ReloadableService, reloadableServiceOn } from "../support/service_on.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { until } from "../support/until.ts";

/** What somebody who watches the service sees of it, on a cluster that does as it is told. */
const backEnd: CloudHsmBackEnd = cloudHsmBackEnd();
const { simulator } = backEnd;
const SETTINGS = {
  HSM_KEY_ALGORITHM: "P-256",
  HSM_AUTO_PROVISION: "true",
  HSM_SESSIONS: "3",
};
const OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const sign = ({ url }: ReloadableService): Promise<Response> =>
  fetch(`${url}/sign`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ hash: randomBytes(32).toString("hex") }),
  });

/** Reads them as Prometheus does, and has the form judged by its own reader. */
async function metricsAt(url: string): Promise<readonly ReadSample[]> {
  const response = await fetch(`${url}/metrics`, { headers: { accept: "application/openmetrics-text" } });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get("content-type"), OPENMETRICS);
  const text = await response.text();
  assert.ok(text.endsWith("\n# EOF\n"));
  return readOpenMetrics(text);
}

describe("GET /metrics on an address of its own", () => {
  let service: ReloadableService;
  let address: string;

  before(async () => {
    service = await reloadableServiceOn(backEnd, {
      ...SETTINGS,
      METRICS_PORT: "0",
      AUDIT_FILE: join(temporaryDirectory(), "audit.jsonl"),
    });
    address = String(service.events("listening")[0]?.["metrics"]);
  });
  after(async () => {
    simulator.order({ released: true });
    await service.stop();
  });
  beforeEach(() => simulator.order());

  test("is not on the service's own, and nothing else is there", async () => {
    assert.equal((await fetch(`${service.url}/metrics`)).status, 404);
    assert.match(address, /^http:\/\/127\.0\.0\.1:\d+$/);
    for (const path of ["/", "/sign", "/healthz", "/readyz", "/certificate"]) {
      assert.equal((await fetch(`${address}${path}`)).status, 404, path);
    }
    const post = await fetch(`${address}/metrics`, { method: "POST", body: "x" });
    assert.deepEqual([post.status, post.headers.get("allow")], [405, "GET, HEAD, OPTIONS"]);
    assert.equal((await fetch(`${address}/metrics`, { method: "HEAD" })).status, 200);
  });

  test("counts requests by outcome, those that never became one included, and how long signatures took", async () => {
    for (let count = 0; count < 5; count += 1) assert.equal((await sign(service)).status, 200);
    await fetch(`${service.url}/sign`, {
      method: "POST",
      headers: { "content-type": "text/plain" },
      body: "x",
    });
    await fetch(`${service.url}/${"x".repeat(50)}`);
    await exchange(service.url, "GARBAGE\r\n\r\n");
    const samples = await metricsAt(address);
    const requests = (labels: Record<string, string>): number | undefined =>
      sampleValue(samples, "hsm_signer_requests_total", labels);
    assert.equal(requests({ path: "/sign", status: "200", credential: "hsm-signer" }), 5);
    assert.equal(requests({ path: "/sign", status: "415", code: "ERR_MEDIA_TYPE" }), 1);
    assert.equal(requests({ path: "other", status: "400", code: "ERR_REQUEST_MALFORMED" }), 1);
    assert.ok((requests({ path: "other", status: "404", code: "ERR_NOT_FOUND" }) ?? 0) >= 1);
    const seconds = (stage: string, suffix: string): number =>
      sampleValue(samples, `hsm_signer_signature_seconds_${suffix}`, { stage }) ?? Number.NaN;
    for (const stage of ["queue", "token", "audit", "total"]) assert.equal(seconds(stage, "count"), 5, stage);
    assert.ok(seconds("total", "sum") > seconds("token", "sum") + seconds("audit", "sum"));
    assert.ok(seconds("token", "sum") > 0 && seconds("audit", "sum") > 0);
  });

  test("tells of the pool, of calls that hang in it, and of those who wait", async () => {
    const idle = await metricsAt(address);
    const pool = (samples: readonly ReadSample[], name: string): number | undefined =>
      sampleValue(samples, `hsm_signer_pool_${name}`);
    assert.deepEqual(
      ["size", "open", "leased", "overdue", "waiting"].map((name) => pool(idle, name)),
      [3, 3, 0, 0, 0],
    );
    simulator.order({ calls: [{ on: "C_Sign", hangs: true }] });
    const answers = Array.from({ length: 8 }, () => sign(service));
    await until(async () => pool(await metricsAt(address), "leased") === 3);
    // Twice as many as there are sessions are let through to the pool; the others wait for their turn before it.
    await until(async () => pool(await metricsAt(address), "waiting") === 3);
    await until(async () => sampleValue(await metricsAt(address), "hsm_signer_queue_waiting") === 2);
    simulator.order({ released: true });
    assert.deepEqual(
      (await Promise.all(answers)).map(({ status }) => status),
      Array(8).fill(200),
    );
    assert.equal(pool(await metricsAt(address), "leased"), 0);
  });

  test("counts recoveries by what the token suffers from, wrong signatures, and warnings in the log", async () => {
    simulator.order({ calls: [{ on: "C_Sign", signs: "wrongly", times: 1 }] });
    assert.equal((await sign(service)).status, 200);
    simulator.order({ calls: [{ on: "C_Sign", returns: "CKR_DEVICE_ERROR", times: 1 }] });
    assert.equal((await sign(service)).status, 200);
    const samples = await metricsAt(address);
    assert.equal(sampleValue(samples, "hsm_signer_wrong_signatures_total"), 1);
    assert.equal(sampleValue(samples, "hsm_signer_recoveries_total", { disposition: "module" }), 1);
    const labels = { level: "warning", event: "token.recovering" };
    assert.equal(sampleValue(samples, "hsm_signer_log_events_total", labels), 1);
  });

  test("tells when certificates expire, how the trail does, and how the process does, the event loop included", async () => {
    const samples = await metricsAt(address);
    const remaining = sampleValue(samples, "hsm_signer_certificate_remaining_seconds", {
      credential: "hsm-signer",
    });
    assert.ok(remaining !== undefined && remaining > 700 * 86_400 && remaining < 730 * 86_400);
    const audit = (name: string): number | undefined => sampleValue(samples, `hsm_signer_audit_${name}`);
    assert.deepEqual(["up", "failures_total", "unrecorded_total"].map(audit), [1, 0, 0]);
    const { record, checkpoint } = await auditFacts();
    assert.deepEqual([audit("record"), audit("checkpoint_record")], [record, checkpoint.record]);
    assert.equal(audit("checkpoint_timestamp_seconds"), Date.parse(checkpoint.time) / 1_000);
    for (const name of [
      "process_cpu_seconds_total",
      "process_resident_memory_bytes",
      "process_open_fds",
      "nodejs_eventloop_lag_p99_seconds",
      "nodejs_eventloop_lag_max_seconds",
      "hsm_signer_log_lines_lost_total",
    ]) {
      assert.equal(typeof sampleValue(samples, name), "number", name);
    }
    const misnamed = samples.filter(({ name, type }) => name.endsWith("_total") && type !== "counter");
    assert.deepEqual(misnamed, []);
  });

  test("holds no secret, and no name that a client made up", async () => {
    const text = await (await fetch(`${address}/metrics`)).text();
    assert.ok(!text.includes(simulator.pin) && !text.includes("xxxx"));
  });

  async function auditFacts(): Promise<{ record: number; checkpoint: { record: number; time: string } }> {
    const facts = (await (await fetch(`${service.url}/readyz`)).json()) as { audit: never };
    return facts.audit;
  }
});

describe("Where the metrics are", () => {
  test("is nowhere unless somebody wants it, and changes on SIGHUP, whole or not at all", async () => {
    const service = await reloadableServiceOn(backEnd, SETTINGS);
    const isShown = async (): Promise<boolean> => (await fetch(`${service.url}/metrics`)).status === 200;
    assert.equal(await isShown(), false);
    assert.equal((await service.reload({ ...SETTINGS, METRICS: "true" }))["event"], "reloaded");
    assert.equal(await isShown(), true);
    const before = await metricsAt(service.url);
    assert.ok(sampleValue(before, "hsm_signer_requests_total", { path: "/metrics", status: "404" }));
    const { port } = new URL(service.url);
    const failed = await service.reload({ ...SETTINGS, METRICS_PORT: port });
    assert.match(String(failed["mistakes"]), /METRICS_HOST, METRICS_PORT.*EADDRINUSE/);
    assert.equal(await isShown(), true);
    assert.equal((await service.reload(SETTINGS))["event"], "reloaded");
    assert.equal(await isShown(), false);
    assert.equal((await service.stop()).code, EXIT.ok);
  });

  test("cannot be where somebody else listens: the service does not start", async () => {
    const first = await reloadableServiceOn(backEnd, { ...SETTINGS, METRICS_PORT: "0" });
    const { port } = new URL(String(first.events("listening")[0]?.["metrics"]));
    const environment = {
      ...backEnd.settings,
      ...SETTINGS,
      PORT: "0",
      CERT_DIR: join(first.directory, "certs"),
    };
    const complaint = await complaintOf({ ...environment, METRICS_PORT: port }, EXIT.usage);
    assert.match(complaint, /Cannot listen on 127\.0\.0\.1, port \d+ \(METRICS_HOST, METRICS_PORT\)/);
    await first.stop();
  });
});
