import assert from "node:assert/strict";
import { test } from "node:test";
import { Counts } from "../../lib/metrics/counts.ts";
import type { Sample } from "../../lib/metrics/family.ts";
import { Histogram } from "../../lib/metrics/histogram.ts";
import { recordingLog } from "../support/recording_log.ts";

function samplesOf(counts: Counts, name: string): readonly Sample[] {
  const family = counts.families().find((each) => each.name === name);
  assert.ok(family, name);
  return family.samples();
}

const shown = (samples: readonly Sample[]): unknown[] =>
  samples.map(({ labels, value }) => [Object.values(labels ?? {}).join(" "), value]);

test("a histogram counts each duration in its bucket, the bound included, and in all above it", () => {
  const histogram = new Histogram();
  for (const seconds of [0, 0.0001, 0.00011, 0.3, 10, 11]) histogram.observe(seconds);
  const samples = histogram.samples({ stage: "token" });
  const bucket = (le: string): number | undefined =>
    samples.find(({ suffix, labels }) => suffix === "_bucket" && labels?.["le"] === le)?.value;
  assert.deepEqual(
    ["0.0001", "0.00025", "0.25", "0.5", "5.0", "10.0", "+Inf"].map(bucket),
    [2, 3, 3, 4, 4, 5, 6],
  );
  const value = (suffix: string): number | undefined =>
    samples.find((sample) => sample.suffix === suffix)?.value;
  assert.equal(value("_count"), 6);
  assert.ok(Math.abs((value("_sum") ?? 0) - 21.30021) < 1e-9);
});

test("requests are counted by path, status, code and credential; what a client makes up is one path", () => {
  const counts = new Counts();
  const timings = { queueMs: 1, tokenMs: 2 };
  const facts = { credential: "invoices", timings };
  for (let round = 0; round < 3; round += 1)
    counts.countRequest({ path: "/sign", status: 200, totalMs: 5, facts });
  counts.countRequest({ path: "/sign", status: 503, code: "ERR_TOKEN_BUSY", facts });
  for (const path of ["/a", "/b", "/sign/", "/constructor"]) {
    counts.countRequest({ path, status: 404, code: "ERR_NOT_FOUND", facts: { timings } });
  }
  counts.countRequest({ status: 400, code: "ERR_REQUEST_MALFORMED" });
  assert.deepEqual(shown(samplesOf(counts, "hsm_signer_requests_total")), [
    ["/sign 200 invoices", 3],
    ["/sign 503 ERR_TOKEN_BUSY invoices", 1],
    ["other 404 ERR_NOT_FOUND", 4],
    ["other 400 ERR_REQUEST_MALFORMED", 1],
  ]);
});

test("only signatures that were answered have a latency, and a record's only where one was written", () => {
  const counts = new Counts();
  const facts = { timings: { queueMs: 100, tokenMs: 2 } };
  counts.countRequest({ path: "/sign", status: 503, totalMs: 10_000, facts });
  counts.countRequest({ path: "/readyz", status: 200, totalMs: 10_000, facts });
  counts.countRequest({ path: "/sign", status: 200, totalMs: 103, facts });
  counts.countRequest({ path: "/sign", status: 200, totalMs: 104, facts: { ...facts, auditMs: 1 } });
  const samples = samplesOf(counts, "hsm_signer_signature_seconds");
  const of = (suffix: string): unknown[] => shown(samples.filter((sample) => sample.suffix === suffix));
  assert.deepEqual(of("_count"), [
    ["queue", 2],
    ["token", 2],
    ["audit", 1],
    ["total", 2],
  ]);
  assert.deepEqual(of("_sum"), [
    ["queue", 0.2],
    ["token", 0.004],
    ["audit", 0.001],
    ["total", 0.207],
  ]);
});

test("warnings and errors in the log are counted and written, recoveries by what the token suffers from", () => {
  const counts = new Counts();
  const { log, events } = recordingLog();
  const counting = counts.counting(log);
  counting("info", "request", {});
  counting("warning", "token.recovering", { disposition: "login" });
  counting("warning", "token.recovering", { disposition: "module" });
  counting("warning", "token.recovering", { disposition: "module" });
  counting("error", "token.wrong_signature");
  assert.equal(events.length, 5);
  assert.deepEqual(shown(samplesOf(counts, "hsm_signer_log_events_total")), [
    ["warning token.recovering", 3],
    ["error token.wrong_signature", 1],
  ]);
  assert.deepEqual(shown(samplesOf(counts, "hsm_signer_recoveries_total")), [
    ["login", 1],
    ["module", 2],
  ]);
  assert.deepEqual(shown(samplesOf(counts, "hsm_signer_wrong_signatures_total")), [["", 1]]);
});
