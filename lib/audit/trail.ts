import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import type { AuditConfig } from "../config/audit.ts";
import { messageOf } from "../errors.ts";
import type { Log } from "../log.ts";
import { type CheckpointSigner, signCheckpoint } from "./checkpoint.ts";
import {
  type CheckpointReason,
  type Entry,
  NO_HASH,
  type Position,
  type SignatureEntry,
  sha256,
} from "./record.ts";
import { RecordWriter } from "./record_writer.ts";
import { TrailFile } from "./trail_file.ts";

export interface TrailOptions {
  readonly config: AuditConfig;
  readonly now: () => Date;
  readonly log: Log;
  /** Who signs checkpoints now. */
  signer(): CheckpointSigner;
  /** When writing is tried again after a failure, in milliseconds. */
  readonly retryMs?: number;
}

/** What is known of a signature besides itself. */
export type SignatureFacts = Omit<SignatureEntry, "type" | "signedData">;

/** How a trail is doing, for a person and for metrics. */
export interface TrailState {
  readonly file: string;
  /** Why nothing can be written, if nothing can. */
  readonly failure: string | undefined;
  /** Number of the last record. */
  readonly record: number;
  /** The last checkpoint: its record's number and hash, and when it was made. */
  readonly checkpoint: { readonly record: number; readonly hash: string; readonly time: Date } | undefined;
  /** How many times writing began to fail. */
  readonly failures: number;
  /** Signatures that were answered without a record, and checkpoints that the token did not sign. */
  readonly unrecorded: number;
  readonly checkpointsFailed: number;
}

/**
 * The audit trail of a running service: a record of each signature before it is answered, and from time to time a
 * checkpoint that the token signs.
 */
export class Trail {
  readonly #options: TrailOptions;
  readonly #writer: RecordWriter;
  readonly #path: string;
  #config: AuditConfig;
  #timer: NodeJS.Timeout | undefined;
  #checkpoint: TrailState["checkpoint"];
  /** Number of the last record that a checkpoint of this process covers. */
  #covered = 0;
  /** Number of the record at which the next one is due. */
  #dueAt: number;
  #checkpointing: Promise<void> = Promise.resolve();
  #isClosed = false;
  #unrecorded = 0;
  #checkpointsFailed = 0;

  private constructor(options: TrailOptions, file: TrailFile, position: Position, first: number) {
    const { config, now, log, retryMs } = options;
    this.#options = options;
    this.#config = config;
    this.#path = file.path;
    this.#dueAt = position.n + config.checkpointRecords;
    this.#writer = new RecordWriter({
      file,
      position,
      first,
      now,
      log,
      policy: () => ({
        syncsAlways: this.#config.sync === "always",
        maxBytes: this.#config.maxBytes,
        goesOn: this.#config.onFailure === "continue",
      }),
      onWritten: (checkpoint) => this.#noteWritten(checkpoint),
      onRotated: () => void this.checkpoint("rotation"),
      ...(retryMs === undefined ? {} : { retryMs }),
    });
  }

  /**
   * Goes on with the trail in a file, or begins one.
   *
   * @throws SignerError `ERR_AUDIT_UNAVAILABLE`, `ERR_AUDIT_BROKEN`
   */
  static async open(options: TrailOptions): Promise<Trail> {
    const { file, scan, torn } = await TrailFile.open(options.config.file, options.now());
    const begun = { trail: randomUUID(), n: 0, hash: NO_HASH };
    const { position = begun, first = 1 } = scan;
    const trail = new Trail(options, file, position, first);
    try {
      const entries: Entry[] = [];
      if (scan.position === undefined) entries.push({ type: "begin", trail: position.trail });
      if (torn !== undefined) entries.push(torn);
      const areWritten = await Promise.all(entries.map((entry) => trail.#writer.add(entry)));
      const { outage } = trail.#writer;
      // What a file begins with it needs, even where signatures go on without records.
      if (areWritten.includes(false) && outage !== undefined) throw trail.#writer.unavailable(outage);
    } catch (error) {
      await trail.#writer.close();
      throw error;
    }
    const facts = { file: file.path, trail: position.trail, record: position.n };
    if (torn !== undefined)
      options.log("warning", "audit.torn", { ...facts, kept: torn.kept, bytes: torn.bytes });
    options.log("info", scan.position === undefined ? "audit.begun" : "audit.continued", facts);
    trail.#schedule();
    return trail;
  }

  get state(): TrailState {
    const { outage, position, failures } = this.#writer;
    return {
      file: this.#path,
      failure: outage?.reason,
      record: position.n,
      checkpoint: this.#checkpoint,
      failures,
      unrecorded: this.#unrecorded,
      checkpointsFailed: this.#checkpointsFailed,
    };
  }

  /** Whether this is the trail that a configuration names. */
  isIn(file: string): boolean {
    return file === this.#config.file;
  }

  /** What may change under way: all but the file. */
  configure(config: AuditConfig): void {
    this.#config = config;
    this.#schedule();
  }

  /** @throws SignerError `ERR_AUDIT_UNAVAILABLE` when a signature could not be recorded now, and has to be */
  requireAvailable(): void {
    const { outage } = this.#writer;
    if (outage !== undefined && this.#config.onFailure === "stop") throw this.#writer.unavailable(outage);
  }

  /**
   * Resolves when a signature may be answered: its record is handed to the operating system, or need not be.
   *
   * @param signedData what is about to be answered, DER
   * @throws SignerError `ERR_AUDIT_UNAVAILABLE`
   */
  async record(facts: SignatureFacts, signedData: Uint8Array): Promise<void> {
    const { request, caller, credential, hash, digest, certificate } = facts;
    const isWritten = await this.#writer.add({
      type: "signature",
      request,
      ...(caller === undefined ? {} : { caller }),
      credential,
      hash,
      digest,
      certificate,
      signedData: sha256(signedData),
    });
    if (!isWritten) this.#unrecorded += 1;
  }

  /** Has the token sign what was recorded so far. A checkpoint that fails is told of in the log, and stops nothing. */
  checkpoint(reason: CheckpointReason): Promise<void> {
    this.#checkpointing = this.#checkpointing.then(() => this.#makeCheckpoint(reason));
    return this.#checkpointing;
  }

  /** Has the next file begin. */
  rotate(): void {
    this.#writer.rotate();
  }

  /** Ends with a checkpoint, if the token signs within `limitMs`, and lets go of the file. */
  async close(limitMs: number): Promise<void> {
    clearInterval(this.#timer);
    await within(this.checkpoint("stop"), limitMs);
    this.#isClosed = true;
    await within(this.#writer.close(), limitMs);
  }

  /** Lets go of the file as it is. */
  async abandon(): Promise<void> {
    clearInterval(this.#timer);
    this.#isClosed = true;
    await this.#writer.close();
  }

  #schedule(): void {
    clearInterval(this.#timer);
    this.#timer = setInterval(() => {
      if (!this.#isQuiet) void this.checkpoint("interval");
    }, this.#config.checkpointSeconds * 1_000).unref();
  }

  /** Whether nothing was recorded since the last checkpoint but itself. */
  get #isQuiet(): boolean {
    const { n } = this.#writer.position;
    return n === this.#checkpoint?.record && n === this.#covered + 1;
  }

  #noteWritten(checkpoint: Position | undefined): void {
    if (checkpoint !== undefined) {
      const { n: record, hash } = checkpoint;
      this.#checkpoint = { record, hash, time: this.#options.now() };
      this.#options.log("info", "audit.checkpoint", { record, hash });
    }
    const { n } = this.#writer.position;
    if (n < this.#dueAt) return;
    this.#dueAt = n + this.#config.checkpointRecords;
    void this.checkpoint("records");
  }

  async #makeCheckpoint(reason: CheckpointReason): Promise<void> {
    const { signer, now, log } = this.#options;
    const { position, outage } = this.#writer;
    try {
      if (outage !== undefined) throw this.#writer.unavailable(outage);
      const entry = await signCheckpoint(signer(), position, reason, now());
      if (this.#isClosed) throw new RangeError("the token has signed too late");
      if (!(await this.#writer.add(entry))) throw new RangeError("it cannot be written");
      this.#covered = position.n;
    } catch (error) {
      this.#checkpointsFailed += 1;
      log("warning", "audit.checkpoint_failed", { reason: messageOf(error) });
    }
    this.#dueAt = this.#writer.position.n + this.#config.checkpointRecords;
  }
}

/** Waits for something, but not for ever. */
async function within(promise: Promise<void>, limitMs: number): Promise<void> {
  const stop = new AbortController();
  const limit = delay(limitMs, undefined, { signal: stop.signal }).catch(() => {});
  await Promise.race([promise.finally(() => stop.abort()), limit]);
}
