import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { appendFileSync, readdirSync, readFileSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { signatureAlgorithm } from "../../lib/algorithms.ts";
import { type AuditRecord, parseRecord } from "../../lib/audit/record.ts";
import { EXIT } from "../../lib/exit_codes.ts";
import { type BackEnd, softHsmBackEnd } from "../support/back_ends.ts";
import { runCommand } from "../support/command.ts";
import { complaintOf } from "../support/complaint.ts";
import { type ReloadableService, reloadableServiceOn } from "../support/service_on.ts";
import { SteadyLoad } from "../support/steady_load.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { until } from "../support/until.ts";

/** The service with an audit trail in a process of its own, and what can happen to it. */
const backEnd: BackEnd = softHsmBackEnd();
const algorithm = signatureAlgorithm("P-256", "SHA-256");
const WITHOUT_TRAIL = { HSM_KEY_ALGORITHM: "P-256", HSM_AUTO_PROVISION: "true", HSM_SESSIONS: "4" };
const SETTINGS = { ...WITHOUT_TRAIL, AUDIT_CHECKPOINT_RECORDS: "20" };

const newFile = (): string => join(temporaryDirectory(), "audit.jsonl");
const start = (file: string, settings: Record<string, string> = {}): Promise<ReloadableService> =>
  reloadableServiceOn(backEnd, { ...SETTINGS, AUDIT_FILE: file, ...settings });
const loadOn = ({ url }: ReloadableService): SteadyLoad => new SteadyLoad({ url, algorithm, concurrency: 8 });

/** The files of a trail, those kept beside the last one included. */
function filesOf(file: string): string[] {
  const own = readdirSync(dirname(file)).filter((name) => name.startsWith(basename(file)));
  return own.filter((name) => !/\.(lock|torn-.*)$/.test(name)).map((name) => join(dirname(file), name));
}

function recordsOf(file: string): AuditRecord[] {
  return filesOf(file).flatMap((path) =>
    readFileSync(path, "utf8")
      .split(/(?<=\n)/)
      .filter((line) => line !== "")
      .map((line) => parseRecord(Buffer.from(line))),
  );
}

const digestsIn = (records: readonly AuditRecord[]): Set<string> =>
  new Set(records.flatMap((record) => (record.type === "signature" ? [record.digest] : [])));

/** What the command says of a trail, which it has to find good. */
async function verified(file: string, ...more: readonly string[]): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await runCommand(["audit", "verify", ...filesOf(file), "--json", ...more]);
  assert.equal(code, EXIT.ok, stderr + stdout);
  return JSON.parse(stdout);
}

/** No answer without a record. */
function assertRecorded(digests: readonly string[], ...files: readonly string[]): void {
  const recorded = digestsIn(files.flatMap(recordsOf));
  const missing = digests.filter((digest) => !recorded.has(digest));
  assert.deepEqual(missing, []);
  assert.ok(digests.length > 0);
}

const sign = ({ url }: ReloadableService, digest = randomBytes(32)): Promise<Response> =>
  fetch(`${url}/sign`, {
    method: "POST",
    headers: { "content-type": "application/json", accept: "application/cms", "x-request-id": "an-id" },
    body: JSON.stringify({ hash: digest.toString("hex") }),
  });

before(async () => {
  // The key is made once: that takes its time.
  await (await start(newFile())).stop();
});

test("what is answered is recorded: request, digest, certificate and the hash of the SignedData", async () => {
  const file = newFile();
  const service = await start(file);
  const digest = randomBytes(32);
  const response = await sign(service, digest);
  const signedData = Buffer.from(await response.arrayBuffer());
  const record = recordsOf(file).find(({ type }) => type === "signature");
  assert.ok(record?.type === "signature");
  const pem = await (await fetch(`${service.url}/certificate`)).text();
  assert.deepEqual(
    [record.request, record.hash, record.digest, record.signedData],
    ["an-id", "SHA-256", digest.toString("hex"), createHash("sha256").update(signedData).digest("hex")],
  );
  const [line] = service.events("request").filter(({ id }) => id === "an-id");
  assert.equal(line?.["certificateSerial"], record.certificate);
  assert.ok(Number(line?.["auditMs"]) > 0);
  const facts = (await (await fetch(`${service.url}/readyz`)).json()) as Record<string, object>;
  assert.deepEqual(Object.keys(facts["audit"] ?? {}), ["record", "checkpoint"]);
  assert.equal((await service.stop()).code, EXIT.ok);
  const { hash } = service.events("audit.checkpoint").at(-1) ?? {};
  const report = await verified(file, "--expect", String(hash), "--certificate", await pemFile(pem));
  assert.deepEqual((report["last"] as { hash: unknown }).hash, hash, "the end is a checkpoint");
});

async function pemFile(pem: string): Promise<string> {
  const path = join(temporaryDirectory(), "certificate.pem");
  appendFileSync(path, pem);
  return path;
}

test("requests that are refused are not recorded, and neither are the probes of /readyz", async () => {
  const file = newFile();
  const service = await start(file);
  await fetch(`${service.url}/readyz`);
  await fetch(`${service.url}/sign`, { method: "POST", body: "x" });
  await service.stop();
  assert.deepEqual(
    recordsOf(file).map(({ type }) => type),
    ["begin", "checkpoint", "checkpoint"],
  );
});

for (const sync of ["checkpoint", "always"]) {
  test(`killed again and again under load, with AUDIT_SYNC=${sync}: no answer lacks its record, and the chain is whole`, async () => {
    const file = newFile();
    const digests: string[] = [];
    for (let round = 0; round < 3; round += 1) {
      const service = await start(file, { AUDIT_SYNC: sync });
      const load = loadOn(service);
      await load.answers(60);
      service.kill("SIGKILL");
      await service.ended;
      digests.push(...(await load.stop()).digests);
      // What a write that was cut short would leave.
      appendFileSync(file, `{"prev":"${round}`);
    }
    const service = await start(file);
    await service.stop();
    assertRecorded(digests, file);
    const { notes } = await verified(file);
    assert.equal((notes as unknown[]).length, 3, "what was torn, three times");
    assert.equal(service.events("audit.torn").length, 1);
  });
}

test("rotated under load, by size and by SIGUSR2: no record is lost, and no request", async () => {
  const file = newFile();
  const service = await start(file, { AUDIT_MAX_BYTES: "65536" });
  const load = loadOn(service);
  for (let round = 1; round <= 3; round += 1) {
    await load.answers(150);
    service.kill("SIGUSR2");
    await until(() => service.events("audit.rotated").length >= round);
  }
  const { digests, sent } = await load.stop();
  await service.stop();
  assert.equal(digests.length, sent);
  assertRecorded(digests, file);
  const { files } = await verified(file);
  assert.ok((files as unknown[]).length > 3);
});

test("SIGUSR2 harms nobody where there is no trail", async () => {
  const service = await reloadableServiceOn(backEnd, WITHOUT_TRAIL);
  service.kill("SIGUSR2");
  assert.equal((await sign(service)).status, 200);
  const facts = (await (await fetch(`${service.url}/readyz`)).json()) as Record<string, object>;
  assert.equal(facts["audit"], undefined);
  assert.equal((await service.stop()).code, EXIT.ok);
});

test("a second service on the same file does not start, and the first one goes on", async () => {
  const file = newFile();
  const service = await start(file);
  const { HSM_PIN = "", ...settings } = backEnd.settings;
  const complaint = await complaintOf(
    {
      ...settings,
      ...SETTINGS,
      HSM_PIN,
      PORT: "0",
      CERT_DIR: join(service.directory, "certs"),
      AUDIT_FILE: file,
    },
    EXIT.failed,
  );
  assert.match(complaint, /Cannot write the audit trail .*AUDIT_FILE.*: another process writes to it/);
  assert.equal((await sign(service)).status, 200);
  await service.stop();
  await verified(file);
});

describe("A reload under load", () => {
  const [first, second] = [newFile(), newFile()];
  let service: ReloadableService;
  let load: SteadyLoad;

  before(async () => {
    service = await start(first);
    load = loadOn(service);
  });
  after(async () => {
    await load.stop();
    await service.stop();
  });

  const reload = (settings: Record<string, string>): Promise<Record<string, unknown>> =>
    service.reload({ ...SETTINGS, ...settings });

  test("has the trail go on in the same file, under another policy", async () => {
    await load.answers(30);
    const outcome = await reload({ AUDIT_FILE: first, AUDIT_SYNC: "always", AUDIT_CHECKPOINT_RECORDS: "7" });
    assert.equal(outcome["event"], "reloaded");
    await load.answers(30);
    const reasons = recordsOf(first).map((record) => record.type === "checkpoint" && record.statement.reason);
    assert.ok(reasons.includes("reload"));
  });

  test("that cannot be leaves the trail as it was", async () => {
    for (const settings of [
      { AUDIT_FILE: "/nowhere/audit.jsonl" },
      { AUDIT_FILE: second, METRICS_PORT: new URL(service.url).port },
      { AUDIT_FILE: second, HSM_KEY_LABEL: "nobody", HSM_AUTO_PROVISION: "false" },
      { AUDIT_FILE: first, AUDIT_SYNC: "never" },
    ]) {
      const { event, mistakes } = await reload(settings);
      assert.equal(event, "reload.failed", JSON.stringify(settings));
      assert.match(String(mistakes), /AUDIT_FILE|METRICS_PORT|nobody|AUDIT_SYNC/);
    }
    await load.answers(10);
  });

  test("ends one trail with a checkpoint, and begins another", async () => {
    assert.equal((await reload({ AUDIT_FILE: second }))["event"], "reloaded");
    await load.answers(30);
    const last = recordsOf(first).at(-1);
    assert.ok(last?.type === "checkpoint");
    assert.equal(last.statement.reason, "stop");
  });

  test("without a trail ends it; nothing was answered without a record until then", async () => {
    const { digests } = await load.stop();
    assertRecorded(digests, first, second);
    assert.equal((await service.reload(WITHOUT_TRAIL))["event"], "reloaded");
    assert.equal((await sign(service)).status, 200);
    for (const file of [first, second]) await verified(file);
  });
});

/** From now on the service's files may grow to this size: what a full disk is to it, and nobody has to be root. */
function limitFiles({ pid }: ReloadableService, bytes: number | "unlimited"): void {
  execFileSync("prlimit", [`--pid=${pid}`, `--fsize=${bytes}:unlimited`]);
}

describe("Where the disk takes no more", () => {
  test("nothing is answered, with its own code, and the service is not ready; it comes back by itself", async () => {
    const file = newFile();
    const service = await start(file);
    const load = loadOn(service);
    await load.answers(20);
    // Some records on, in the midst of one.
    limitFiles(service, statSync(file).size + 5_037);
    await until(() => service.events("audit.failed").length > 0);
    await until(async () => (await sign(service)).status === 503);
    const refused = await sign(service);
    assert.match(await refused.text(), /"code":"ERR_AUDIT_UNAVAILABLE"/);
    assert.match(refused.headers.get("retry-after") ?? "", /^\d+$/);
    const id = refused.headers.get("x-request-id");
    await until(() => service.events("request").some((line) => line["id"] === id && line["status"] === 503));
    const line = service.events("request").findLast((each) => each["id"] === id);
    assert.equal(line?.["tokenMs"], 0, "the token is not asked for what could not be answered");
    assert.ok(recordsOf(file).length > 20, "what was written in part is taken back at once");
    const ready = await fetch(`${service.url}/readyz`);
    const facts = (await ready.json()) as { code: string; audit: { failure: string } };
    assert.deepEqual([ready.status, facts.code], [503, "ERR_AUDIT_UNAVAILABLE"]);
    assert.match(facts.audit.failure, /EFBIG|File too large/);
    assert.equal((await fetch(`${service.url}/healthz`)).status, 200);
    limitFiles(service, "unlimited");
    await load.nextSigned();
    await until(async () => (await fetch(`${service.url}/readyz`)).status === 200);
    const { digests, wrong, others } = await load.stop();
    await service.stop();
    assert.deepEqual([wrong, others], [0, []]);
    assertRecorded(digests, file);
    const { notes } = await verified(file);
    // How many signatures were made and not answered depends on what was under way.
    assert.deepEqual(
      (notes as { unrecorded: number }[]).map(({ unrecorded }) => unrecorded),
      service.events("audit.written_again").map(() => 0),
    );
  });

  test("signatures go on where that is wanted, and the trail says how many it lacks", async () => {
    const file = newFile();
    const service = await start(file, { AUDIT_ON_FAILURE: "continue" });
    const load = loadOn(service);
    await load.answers(20);
    limitFiles(service, statSync(file).size + 5_037);
    await until(() => service.events("audit.failed").length > 0);
    await load.answers(30);
    assert.equal((await fetch(`${service.url}/readyz`)).status, 200);
    limitFiles(service, "unlimited");
    await until(() => service.events("audit.written_again").length > 0);
    await load.answers(10);
    const { digests, sent } = await load.stop();
    await service.stop();
    assert.equal(digests.length, sent, "no request was refused");
    const { notes } = await verified(file);
    const lacking = (notes as { unrecorded: number }[]).reduce((sum, { unrecorded }) => sum + unrecorded, 0);
    assert.equal(digestsIn(recordsOf(file)).size + lacking, digests.length);
    assert.ok(lacking > 0);
  });
});
