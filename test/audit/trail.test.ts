import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { linesOf } from "../../lib/audit/lines.ts";
import { type AuditRecord, parseRecord, sha256 } from "../../lib/audit/record.ts";
import type { Trail } from "../../lib/audit/trail.ts";
import { type TrailReport, verifyTrail } from "../../lib/audit/verify.ts";
import { SignerError } from "../../lib/errors.ts";
import { lacks } from "../../lib/runtime.ts";
import { fails } from "../support/fails.ts";
import { runModule } from "../support/run_module.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import {
  signatureFacts,
  softwareCheckpointSigner,
  sourceOf,
  type TrailStage,
  trailStage,
} from "../support/trail.ts";
import { until } from "../support/until.ts";

const signer = await softwareCheckpointSigner();
const SIGNED = Buffer.from("a SignedData");

const recordsIn = (text: string): AuditRecord[] =>
  text
    .split(/(?<=\n)/)
    .filter((line) => line !== "")
    .map((line) => parseRecord(Buffer.from(line)));

const typesIn = (text: string): string[] => recordsIn(text).map(({ type }) => type);

async function sign(trail: Trail, count: number): Promise<void> {
  await Promise.all(
    Array.from({ length: count }, (_, number) => trail.record(signatureFacts(number), SIGNED)),
  );
}

/** All files of a trail, the one that is written to and those kept beside it. */
function verified({ file }: TrailStage, expected?: string): Promise<TrailReport> {
  const names = readdirSync(dirname(file)).filter((name) => /jsonl(\.\d.*)?$/.test(name));
  const sources = names.map((name) => ({ name, lines: () => linesOf(join(dirname(file), name)) }));
  return verifyTrail(sources, expected === undefined ? {} : { expected });
}

const eventsOf = ({ events }: TrailStage, name: string): unknown[] =>
  events.filter(({ event }) => event === name).map(({ fields }) => fields);

test("a signature is recorded with all that is known of it, and its record is in the file when it is answered", async () => {
  const stage = trailStage(signer);
  const trail = await stage.open();
  await trail.record(signatureFacts(5), SIGNED);
  const [, record] = recordsIn(stage.text());
  assert.ok(record?.type === "signature");
  const { prev, time, ...rest } = record;
  assert.deepEqual(rest, { n: 2, type: "signature", ...signatureFacts(5), signedData: sha256(SIGNED) });
  await trail.close(10_000);
});

test("signatures that become ready together share a write, and keep their order", async () => {
  const stage = trailStage(signer);
  const trail = await stage.open();
  await sign(trail, 200);
  const records = recordsIn(stage.text()).slice(1);
  assert.deepEqual(
    records.map((record) => record.type === "signature" && record.request),
    Array.from({ length: 200 }, (_, number) => `request-${number}`),
  );
  assert.equal(new Set(records.map(({ time }) => time)).size, 1, "each write has one time");
  await trail.close(10_000);
});

test("checkpoints are made when they are asked for, after so many records, after so many seconds, and at the end", async () => {
  const stage = trailStage(signer);
  const trail = await stage.open({ checkpointRecords: 50, checkpointSeconds: 1 });
  await trail.checkpoint("start");
  await sign(trail, 49);
  await trail.record(signatureFacts(49), SIGNED);
  await until(() => eventsOf(stage, "audit.checkpoint").length === 2);
  await sign(trail, 1);
  await until(() => eventsOf(stage, "audit.checkpoint").length === 3);
  await trail.close(10_000);
  const reasons = recordsIn(stage.text()).flatMap((record) =>
    record.type === "checkpoint" ? [record.statement.reason] : [],
  );
  assert.deepEqual(reasons, ["start", "records", "interval", "stop"]);
  const { proven, last, fault } = await verified(stage);
  assert.deepEqual([fault, proven?.checkpoint], [undefined, last?.n]);
});

test("a trail in which nothing happens is not signed again and again", async () => {
  const stage = trailStage(signer);
  const trail = await stage.open({ checkpointSeconds: 1 });
  await trail.checkpoint("start");
  await new Promise((resolve) => setTimeout(resolve, 2_500));
  assert.deepEqual(typesIn(stage.text()), ["begin", "checkpoint"]);
  await trail.close(10_000);
});

test("the hash of the last checkpoint is told, and its record is found by it; one of another trail is not", async () => {
  const stage = trailStage(signer);
  const trail = await stage.open();
  await trail.checkpoint("start");
  const { checkpoint } = trail.state;
  assert.ok(checkpoint);
  assert.deepEqual(eventsOf(stage, "audit.checkpoint"), [{ record: 2, hash: checkpoint.hash }]);
  await sign(trail, 3);
  await trail.close(10_000);
  assert.equal((await verified(stage, checkpoint.hash)).fault, undefined);
  assert.match((await verified(stage, "ab".repeat(32))).fault?.reason ?? "", /expected is not there/);
});

test("a token that does not sign holds up no signature: its checkpoint is told of, and made later", async () => {
  let isAway = true;
  const stage = trailStage({
    ...signer,
    signer: {
      ...signer.signer,
      sign: (data) =>
        isAway
          ? Promise.reject(new SignerError("ERR_TOKEN_BUSY", "Cannot sign: busy"))
          : signer.signer.sign(data),
    },
  });
  const trail = await stage.open();
  await trail.checkpoint("start");
  await sign(trail, 2);
  assert.deepEqual(eventsOf(stage, "audit.checkpoint_failed"), [{ reason: "Cannot sign: busy" }]);
  assert.equal(trail.state.checkpointsFailed, 1);
  isAway = false;
  await trail.close(10_000);
  assert.deepEqual(typesIn(stage.text()), ["begin", "signature", "signature", "checkpoint"]);
});

test("a token that never answers holds up the end for as long as that may take, and no longer", async () => {
  const never = { ...signer.signer, sign: () => new Promise<Uint8Array>(() => {}) };
  const stage = trailStage({ ...signer, signer: never });
  const trail = await stage.open();
  await sign(trail, 2);
  await trail.close(50);
  assert.deepEqual(typesIn(stage.text()), ["begin", "signature", "signature"]);
  await (await stage.open()).abandon();
});

test("the next start goes on with the trail", async () => {
  const stage = trailStage(signer);
  for (let start = 0; start < 3; start += 1) {
    const trail = await stage.open();
    await trail.checkpoint("start");
    await sign(trail, 2);
    await trail.close(10_000);
  }
  const { fault, signatures, last, files } = await verified(stage);
  assert.deepEqual([fault, signatures, last?.n, files.length], [undefined, 6, 13, 1]);
});

test("two do not write one file, by whatever name they know it; a third may when the first is gone", async () => {
  const stage = trailStage(signer);
  const alias = `${dirname(stage.file)}-alias`;
  symlinkSync(dirname(stage.file), alias);
  const first = await stage.open();
  for (const file of [stage.file, join(alias, basename(stage.file))]) {
    await assert.rejects(
      stage.open({ file }),
      fails("ERR_AUDIT_UNAVAILABLE", /another process writes to it/),
    );
  }
  await first.close(10_000);
  await (await stage.open()).close(10_000);
  rmSync(alias);
});

test("many that start at once on the lock of a dead process end as one", async () => {
  const stage = trailStage(signer);
  // What a process that was killed has left, and something else that stands there.
  writeFileSync(`${stage.file}.lock`, "");
  const opened = await Promise.allSettled(Array.from({ length: 8 }, () => stage.open()));
  const trails = opened.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
  assert.equal(trails.length, 1);
  await trails[0]?.close(10_000);
  assert.deepEqual(readdirSync(dirname(stage.file)), [basename(stage.file)]);
});

test("a path that is too long for a socket will do, where the runtime lets it be named in another way", async () => {
  const stage = trailStage(signer);
  const file = join(dirname(stage.file), "d".repeat(120), "audit.jsonl");
  mkdirSync(dirname(file));
  if (lacks("paths through /proc")) {
    await assert.rejects(stage.open({ file }), fails("ERR_AUDIT_UNAVAILABLE", /AUDIT_FILE.*--allow-all/));
    return;
  }
  const trail = await stage.open({ file });
  await assert.rejects(stage.open({ file }), fails("ERR_AUDIT_UNAVAILABLE", /another process/));
  await trail.close(10_000);
  assert.ok(existsSync(file));
});

test("what cannot be a trail's file is refused, with its setting", async () => {
  const stage = trailStage(signer);
  const [pipe, link] = ["pipe", "link"].map((name) => join(dirname(stage.file), name));
  assert.ok(pipe && link);
  execFileSync("mkfifo", [pipe]);
  symlinkSync(pipe, link);
  for (const [file, reason] of [
    [dirname(stage.file), /no plain file/],
    [pipe, /no plain file/],
    [link, /no plain file/],
    ["/nowhere/audit.jsonl", /ENOENT/],
  ] as const) {
    await assert.rejects(stage.open({ file }), fails("ERR_AUDIT_UNAVAILABLE", /AUDIT_FILE/));
    await assert.rejects(stage.open({ file }), fails("ERR_AUDIT_UNAVAILABLE", reason));
  }
});

test("a last line that is torn, at whatever byte, is moved aside, recorded, and nothing before it is lost", async () => {
  const stage = trailStage(signer);
  const trail = await stage.open();
  await sign(trail, 2);
  await trail.checkpoint("interval");
  await sign(trail, 1);
  await trail.abandon();
  const whole = readFileSync(stage.file);
  const lastLine = whole.lastIndexOf(0x0a, whole.length - 2) + 1;
  for (let length = lastLine + 1; length < whole.length; length += 1) {
    writeFileSync(stage.file, whole.subarray(0, length));
    await (await stage.open()).abandon();
    const text = stage.text();
    assert.ok(text.startsWith(whole.toString("utf8", 0, lastLine)));
    const record = recordsIn(text).at(-1);
    assert.ok(record?.type === "torn", `${length}`);
    const kept = readFileSync(join(dirname(stage.file), record.kept));
    assert.deepEqual(kept, whole.subarray(lastLine, length));
    assert.deepEqual([record.bytes, record.sha256], [kept.length, sha256(kept)]);
    assert.equal((await verified(stage)).fault, undefined);
    rmSync(join(dirname(stage.file), record.kept));
  }
  assert.equal(eventsOf(stage, "audit.torn").length, whole.length - lastLine - 1);
});

test("zero bytes that a machine without power has left at the end are moved aside too", async () => {
  const stage = trailStage(signer);
  const trail = await stage.open();
  await sign(trail, 2);
  await trail.abandon();
  const whole = stage.text();
  appendFileSync(stage.file, Buffer.concat([Buffer.alloc(5_000), Buffer.from('\n{"prev":"ab')]));
  await (await stage.open()).abandon();
  assert.ok(stage.text().startsWith(whole));
  assert.deepEqual(typesIn(stage.text()), ["begin", "signature", "signature", "torn"]);
});

test("a file that was cut off in its first line begins anew, and keeps what was there", async () => {
  const stage = trailStage(signer);
  writeFileSync(stage.file, '{"prev":"000');
  await (await stage.open()).abandon();
  assert.deepEqual(typesIn(stage.text()), ["begin", "torn"]);
});

test("a file that is broken in its middle is left as it is, and not gone on with", async () => {
  const stage = trailStage(signer);
  const trail = await stage.open();
  await sign(trail, 5);
  await trail.abandon();
  const whole = stage.text();
  for (const broken of [
    whole.replace("request-2", "request-7"),
    whole.replace("request-2", 'request"2'),
    whole.replace(/^.*request-2.*\n/m, ""),
    `${whole}${whole}`,
  ]) {
    writeFileSync(stage.file, broken);
    await assert.rejects(stage.open(), fails("ERR_AUDIT_BROKEN", /line \d: /));
    assert.equal(stage.text(), broken);
  }
  writeFileSync(stage.file, whole);
  await (await stage.open()).abandon();
});

test("a file that is full is kept, the next one names it and the hash of its last record", async () => {
  const stage = trailStage(signer);
  const trail = await stage.open({ maxBytes: 64 * 1024 });
  for (let round = 0; round < 40; round += 1) await sign(trail, 20);
  await trail.close(10_000);
  const { files, fault, signatures, proven, last } = await verified(stage);
  assert.equal(fault, undefined);
  assert.ok(files.length > 3, `${files.length} files`);
  assert.deepEqual([signatures, proven?.checkpoint], [800, last?.n]);
  const kept = eventsOf(stage, "audit.rotated").map((fields) => (fields as { kept: string }).kept);
  assert.deepEqual(
    files.map(({ name }) => name),
    [...kept, basename(stage.file)],
  );
  const [begin] = recordsIn(stage.text());
  assert.ok(begin?.type === "begin");
  assert.equal(begin.former, kept.at(-1));
  const former = readFileSync(join(dirname(stage.file), kept.at(-1) ?? ""));
  assert.equal(begin.prev, sha256(former.subarray(former.lastIndexOf(0x0a, former.length - 2) + 1)));
});

test("a rotation that is asked for ends no file without a record", async () => {
  const stage = trailStage(signer);
  const trail = await stage.open();
  trail.rotate();
  // A record that came in the same turn would be in time.
  await nextTurn();
  await nextTurn();
  await sign(trail, 1);
  assert.equal(eventsOf(stage, "audit.rotated").length, 0);
  trail.rotate();
  await until(() => eventsOf(stage, "audit.rotated").length === 1);
  await trail.close(10_000);
  assert.equal((await verified(stage)).files.length, 2);
});

test("a crash at any step of a rotation loses nothing: the next start ends it, or begins anew", async () => {
  const stage = trailStage(signer);
  const trail = await stage.open();
  await sign(trail, 2);
  trail.rotate();
  await until(() => eventsOf(stage, "audit.rotated").length === 1);
  await sign(trail, 2);
  await trail.abandon();
  const [{ kept }] = eventsOf(stage, "audit.rotated") as [{ kept: string }];
  const [former, next] = [join(dirname(stage.file), kept), stage.file];
  const bytes = { former: readFileSync(former), next: readFileSync(next) };
  const steps: Readonly<Record<string, [signatures: number, ...files: [string, Buffer][]]>> = {
    "the next file is not whole": [
      2,
      [stage.file, bytes.former],
      [`${stage.file}.next`, bytes.next.subarray(0, 50)],
    ],
    "the next file is there and written to, and the disk does not know their new names": [
      4,
      [stage.file, bytes.former],
      [`${stage.file}.next`, bytes.next],
    ],
    "the former one has its new name, the next one not yet": [
      4,
      [former, bytes.former],
      [`${stage.file}.next`, bytes.next],
    ],
  };
  for (const [step, [before, ...files]] of Object.entries(steps)) {
    for (const name of readdirSync(dirname(stage.file))) rmSync(join(dirname(stage.file), name));
    for (const [path, contents] of files) writeFileSync(path, contents);
    const again = await stage.open();
    await sign(again, 2);
    await again.close(10_000);
    const { fault, signatures } = await verified(stage);
    assert.deepEqual([fault, signatures], [undefined, before + 2], step);
    assert.ok(!existsSync(`${stage.file}.next`), step);
  }
});

test("a rotation that fails stops nothing, and is tried again", async () => {
  const stage = trailStage(signer);
  const trail = await stage.open({ maxBytes: 64 * 1024 });
  mkdirSync(`${stage.file}.next`);
  for (let round = 0; round < 12; round += 1) await sign(trail, 20);
  const failed = eventsOf(stage, "audit.rotation_failed").length;
  assert.ok(failed > 0 && failed < 8, `${failed} times`);
  rmSync(`${stage.file}.next`, { recursive: true });
  for (let round = 0; round < 12; round += 1) await sign(trail, 20);
  await trail.close(10_000);
  const { fault, signatures, files } = await verified(stage);
  assert.deepEqual([fault, signatures], [undefined, 480]);
  assert.ok(files.length > 1);
});

/** What somebody else does to the file, and how it is undone. */
const MEDDLING: Readonly<
  Record<string, [spoil: (file: string) => void, mend: (file: string) => void, RegExp]>
> = {
  "is moved away": [
    (file) => renameSync(file, `${file}.x`),
    (file) => renameSync(`${file}.x`, file),
    /moved away/,
  ],
  "is moved away, and another one is in its place": [
    (file) => {
      renameSync(file, `${file}.x`);
      writeFileSync(file, "");
    },
    (file) => renameSync(`${file}.x`, file),
    /moved away/,
  ],
  "is written to": [
    (file) => appendFileSync(file, "x"),
    (file) => truncateSync(file, readFileSync(file).length - 1),
    /writes to the file/,
  ],
};

for (const [what, [spoil, mend, reason]] of Object.entries(MEDDLING)) {
  test(`while the file ${what}, nothing is answered; then the gap is recorded, and the chain goes on`, async () => {
    const stage = trailStage(signer);
    const trail = await stage.open();
    await sign(trail, 2);
    spoil(stage.file);
    await assert.rejects(trail.record(signatureFacts(2), SIGNED), fails("ERR_AUDIT_UNAVAILABLE", reason));
    assert.throws(() => trail.requireAvailable(), fails("ERR_AUDIT_UNAVAILABLE", reason));
    assert.match(trail.state.failure ?? "", reason);
    await assert.rejects(trail.record(signatureFacts(3), SIGNED), fails("ERR_AUDIT_UNAVAILABLE"));
    mend(stage.file);
    await until(() => trail.state.failure === undefined);
    trail.requireAvailable();
    await sign(trail, 1);
    await trail.close(10_000);
    const gap = recordsIn(stage.text()).find(({ type }) => type === "gap");
    assert.ok(gap?.type === "gap");
    assert.deepEqual([gap.withheld, gap.unrecorded], [2, 0]);
    const { fault, signatures, notes } = await verified(stage);
    assert.deepEqual([fault, signatures, notes.length], [undefined, 3, 1]);
    assert.deepEqual([trail.state.failures, eventsOf(stage, "audit.failed").length], [1, 1]);
  });
}

test("where signatures are to go on without records, they do, and the gap says how many", async () => {
  const stage = trailStage(signer);
  const trail = await stage.open({ onFailure: "continue" });
  renameSync(stage.file, `${stage.file}.x`);
  await sign(trail, 5);
  trail.requireAvailable();
  await trail.record(signatureFacts(5), SIGNED);
  await trail.checkpoint("interval");
  assert.equal(trail.state.unrecorded, 6);
  renameSync(`${stage.file}.x`, stage.file);
  await until(() => trail.state.failure === undefined);
  await sign(trail, 1);
  await trail.close(10_000);
  const gaps = recordsIn(stage.text()).flatMap((record) =>
    record.type === "gap" ? [record.unrecorded] : [],
  );
  assert.equal(
    gaps.reduce((sum, count) => sum + count, 0),
    6,
  );
  assert.equal((await verified(stage)).fault, undefined);
});

test("a trail cannot begin on a disk that takes nothing, whatever the policy; it can where there is room again", () => {
  const file = join(temporaryDirectory(), "audit.jsonl");
  const said = runModule(`
    import { execFileSync } from "node:child_process";
    import { prepareProcess } from "./lib/runtime.ts";
    import { softwareCheckpointSigner, trailStage } from "./test/support/trail.ts";
    prepareProcess();
    const stage = trailStage(await softwareCheckpointSigner());
    const file = ${JSON.stringify(file)};
    const limit = (bytes) => execFileSync("prlimit", ["--pid=" + process.pid, "--fsize=" + bytes + ":unlimited"]);
    limit(0);
    for (const onFailure of ["stop", "continue"]) {
      await stage.open({ file, onFailure }).catch(({ code, message }) => console.log(code, message));
    }
    limit("unlimited");
    await (await stage.open({ file })).close(1_000);
  `);
  assert.match(said, /^(ERR_AUDIT_UNAVAILABLE .*(EFBIG|File too large).*\n){2}$/);
  assert.deepEqual(typesIn(readFileSync(file, "utf8")), ["begin", "checkpoint"]);
});

test("the policy may change under way", async () => {
  const stage = trailStage(signer);
  const trail = await stage.open();
  const config = { file: stage.file, checkpointSeconds: 3_600, checkpointRecords: 10, maxBytes: 65_536 };
  trail.configure({ ...config, sync: "always", onFailure: "continue" });
  renameSync(stage.file, `${stage.file}.x`);
  await sign(trail, 1);
  renameSync(`${stage.file}.x`, stage.file);
  await until(() => trail.state.failure === undefined);
  await trail.close(10_000);
  assert.equal((await verified({ ...stage })).fault, undefined);
});

test("a source without lines is no file of a trail", async () => {
  assert.match((await verifyTrail([sourceOf(Buffer.alloc(0))])).fault?.reason ?? "", /empty/);
});
