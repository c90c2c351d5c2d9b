import assert from "node:assert/strict";
import { test } from "node:test";
import { type AuditRecord, NO_HASH, parseRecord } from "../../lib/audit/record.ts";
import { RecordWriter, type WritePolicy } from "../../lib/audit/record_writer.ts";
import { type Deferred, deferred } from "../../lib/deferred.ts";
import { fails } from "../support/fails.ts";
import { recordingLog } from "../support/recording_log.ts";
import { signatureFacts } from "../support/trail.ts";
import { until } from "../support/until.ts";

const entry = (number: number) =>
  ({ type: "signature", ...signatureFacts(number), signedData: NO_HASH }) as const;

/** A disk that does as it is told: each write waits for its word, and so does each sync. */
function stage(policy: Partial<WritePolicy> = {}, writeLimitMs = 60_000) {
  const lines: string[] = [];
  const writes: Deferred<void>[] = [];
  const state = { syncFails: false, syncs: 0, isClosed: false, holdsBack: true };
  const { log, events } = recordingLog();
  const sync = async (): Promise<void> => {
    state.syncs += 1;
    if (state.syncFails) throw new Error("EIO");
  };
  const writer = new RecordWriter({
    file: {
      path: "audit.jsonl",
      size: 0,
      async append(bytes, isSynced) {
        const word = deferred<void>();
        writes.push(word);
        if (state.holdsBack) await word.promise;
        if (isSynced) await sync();
        lines.push(
          ...bytes
            .toString()
            .split(/(?<=\n)/)
            .filter((line) => line !== ""),
        );
      },
      sync,
      rotate: async () => {},
      nameToKeep: () => "kept",
      close: () => {
        state.isClosed = true;
      },
    },
    position: { trail: "5685323a-7da4-4562-8563-b015c4ade1d4", n: 10, hash: NO_HASH },
    first: 1,
    now: () => new Date(),
    log,
    policy: () => ({ syncsAlways: false, maxBytes: 1_000, goesOn: false, ...policy }),
    onWritten: () => {},
    onRotated: () => {},
    writeLimitMs,
    retryMs: 5,
  });
  const records = (): AuditRecord[] => lines.map((line) => parseRecord(Buffer.from(line)));
  return { writer, writes, records, events, state };
}

const nextWrite = async (writes: readonly Deferred<void>[], count: number): Promise<Deferred<void>> => {
  await until(() => writes.length === count);
  const write = writes[count - 1];
  assert.ok(write);
  return write;
};

test("while a write is under way, what comes waits for one further write", async () => {
  const { writer, writes, records } = stage();
  const first = writer.add(entry(0));
  const one = await nextWrite(writes, 1);
  const others = [1, 2, 3].map((number) => writer.add(entry(number)));
  one.resolve();
  await first;
  (await nextWrite(writes, 2)).resolve();
  await Promise.all(others);
  assert.deepEqual(
    records().map(({ n }) => n),
    [11, 12, 13, 14],
  );
  assert.equal(writes.length, 2);
});

test("nobody waits for ever for a write that hangs; when it ends after all, the chain goes on behind it", async () => {
  const { writer, writes, records, events } = stage({}, 30);
  const hanging = writer.add(entry(0));
  const write = await nextWrite(writes, 1);
  await assert.rejects(hanging, fails("ERR_AUDIT_UNAVAILABLE", /has not returned for 30 ms/));
  await assert.rejects(writer.add(entry(1)), fails("ERR_AUDIT_UNAVAILABLE"));
  assert.equal(writes.length, 1, "no second write beside one that hangs");
  write.resolve();
  (await nextWrite(writes, 2)).resolve();
  await until(() => writer.outage === undefined);
  assert.deepEqual(
    records().map((record) => [record.n, record.type, record.type === "gap" && record.withheld]),
    [
      [11, "signature", false],
      [12, "gap", 2],
    ],
  );
  assert.deepEqual(
    events.map(({ event }) => event),
    ["audit.failed", "audit.written_again"],
  );
});

test("a write that hangs and fails in the end has withheld its signature once", async () => {
  const { writer, writes, records } = stage({}, 30);
  const hanging = writer.add(entry(0));
  const write = await nextWrite(writes, 1);
  await assert.rejects(hanging);
  write.reject(new Error("ENOSPC"));
  (await nextWrite(writes, 2)).resolve();
  await until(() => writer.outage === undefined);
  const [gap] = records();
  assert.ok(gap?.type === "gap");
  assert.deepEqual([gap.n, gap.withheld], [11, 1]);
});

test("what is missed while the gap is being recorded is in a second gap, before all else", async () => {
  const { writer, writes, records, state } = stage({ goesOn: true });
  const first = writer.add(entry(0));
  (await nextWrite(writes, 1)).reject(new Error("ENOSPC"));
  assert.equal(await first, false);
  const gap = await nextWrite(writes, 2);
  assert.equal(await writer.add(entry(1)), false);
  assert.equal(await writer.add(entry(2)), false);
  gap.resolve();
  state.holdsBack = false;
  await until(() => writer.outage === undefined);
  assert.equal(await writer.add(entry(3)), true);
  assert.deepEqual(
    records().map((record) => [record.type, record.type === "gap" && record.unrecorded]),
    [
      ["gap", 1],
      ["gap", 2],
      ["signature", false],
    ],
  );
});

test("where each record is to be on the disk, one that is not is not answered", async () => {
  const { writer, state, records } = stage({ syncsAlways: true });
  state.holdsBack = false;
  await writer.add(entry(0));
  assert.equal(state.syncs, 1);
  state.syncFails = true;
  await assert.rejects(writer.add(entry(1)), fails("ERR_AUDIT_UNAVAILABLE", /EIO/));
  state.syncFails = false;
  await until(() => writer.outage === undefined);
  assert.deepEqual(
    records().map(({ n, type }) => `${n} ${type}`),
    ["11 signature", "12 gap"],
  );
});

test("a disk that fails at a checkpoint is trusted again only when it takes one", async () => {
  const { writer, state } = stage();
  state.holdsBack = false;
  state.syncFails = true;
  const statement = {
    about: "hsm-signer audit trail",
    trail: "",
    n: 1,
    hash: "",
    time: "",
    reason: "interval",
  } as const;
  const checkpoint = {
    type: "checkpoint",
    statement: { ...statement, credential: "", algorithm: "", certificates: "" },
    certificates: [],
    signature: "",
  } as const;
  assert.equal(await writer.add(checkpoint), true);
  await until(() => writer.outage !== undefined);
  await assert.rejects(writer.add(entry(0)), fails("ERR_AUDIT_UNAVAILABLE", /EIO/));
  state.syncFails = false;
  await until(() => writer.outage === undefined);
  assert.equal(await writer.add(entry(1)), true);
});

test("the end writes down a gap that was still open, and lets go of the file", async () => {
  const { writer, writes, records, state } = stage();
  const first = writer.add(entry(0));
  (await nextWrite(writes, 1)).reject(new Error("ENOSPC"));
  await assert.rejects(first);
  state.holdsBack = false;
  await writer.close();
  assert.deepEqual([records().length, records()[0]?.type, state.isClosed], [1, "gap", true]);
});
