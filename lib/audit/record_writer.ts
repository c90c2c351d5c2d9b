import { type Deferred, deferred } from "../deferred.ts";
import { messageOf, SignerError } from "../errors.ts";
import type { Log } from "../log.ts";
import { Outage } from "./outage.ts";
import { type Entry, type Position, recordAfter } from "./record.ts";
import type { TrailFile } from "./trail_file.ts";

/** What a file of records has to do. */
export type RecordFile = Pick<
  TrailFile,
  "path" | "size" | "append" | "sync" | "rotate" | "nameToKeep" | "close"
>;

export interface RecordWriterOptions {
  readonly file: RecordFile;
  /** Behind the file's last record, and the number of its first one. */
  readonly position: Position;
  readonly first: number;
  readonly now: () => Date;
  readonly log: Log;
  /** How a write may go, asked each time: it may change under way. */
  policy(): WritePolicy;
  /** Told when records were written, and where the last checkpoint among them is. */
  onWritten(checkpoint?: Position): void;
  /** Told when the next file has begun. */
  onRotated(): void;
  /** How long a write may take before those who wait for it are told, in milliseconds. */
  readonly writeLimitMs?: number;
  /** When it is tried again after a failure, in milliseconds. */
  readonly retryMs?: number;
}

export interface WritePolicy {
  readonly syncsAlways: boolean;
  readonly maxBytes: number;
  /** Whether signatures go on when they cannot be recorded. */
  readonly goesOn: boolean;
}

/** Records that are written together. */
class Batch {
  readonly entries: Entry[] = [];
  readonly isWritten: Deferred<boolean> = deferred<boolean>();
  /** Whether those who wait for it were told that it is not written. */
  isMissed = false;
}

const WRITE_LIMIT_MS = 10_000;
const RETRY_MS = 1_000;

/**
 * Writes records, those that come while a write is under way together with the next one. Only one write is under
 * way at a time, and a record gets its number and the hash of the one before it when its turn comes: a write that
 * fails leaves the chain as it was.
 */
export class RecordWriter {
  readonly #options: RecordWriterOptions;
  #position: Position;
  #first: number;
  #next: Batch | undefined;
  #running: Promise<void> | undefined;
  #outage: Outage | undefined;
  #failures = 0;
  #retry: NodeJS.Timeout | undefined;
  #syncing: Promise<void> = Promise.resolve();
  #rotationIsWanted = false;
  /** Size at which a rotation that failed is tried again. */
  #rotateAt = 0;
  #isClosing = false;

  constructor(options: RecordWriterOptions) {
    this.#options = options;
    this.#position = options.position;
    this.#first = options.first;
  }

  /** Behind the last record that was written. */
  get position(): Position {
    return this.#position;
  }

  get outage(): Outage | undefined {
    return this.#outage;
  }

  /** How many times writing began to fail. */
  get failures(): number {
    return this.#failures;
  }

  /**
   * Resolves when the record is handed to the operating system.
   *
   * @returns whether it is; `false` where it cannot be, and the policy is to go on without
   * @throws SignerError `ERR_AUDIT_UNAVAILABLE` where it is not
   */
  add(entry: Entry): Promise<boolean> {
    const batch = this.#next ?? new Batch();
    batch.entries.push(entry);
    if (this.#outage === undefined) {
      this.#next = batch;
      this.#run();
    } else {
      this.#miss(batch, this.#outage);
    }
    return batch.isWritten.promise;
  }

  /** Has the next file begin, once what waits is written. */
  rotate(): void {
    this.#rotationIsWanted = true;
    this.#run();
  }

  /** What has to be said where nothing can be written. */
  unavailable({ reason, since }: Outage): SignerError {
    const { path } = this.#options.file;
    return new SignerError(
      "ERR_AUDIT_UNAVAILABLE",
      `Cannot write the audit trail ${path} (AUDIT_FILE) since ${since.toISOString()}: ${reason}`,
    );
  }

  /** Writes what waits, sees to it that it is on the disk, and lets go of the file. */
  async close(): Promise<void> {
    const { file, log } = this.#options;
    this.#isClosing = true;
    clearTimeout(this.#retry);
    while (this.#running !== undefined) await this.#running;
    await this.#syncing;
    try {
      if (this.#outage === undefined) await file.sync();
      else await this.#append([this.#outage.entry()], true);
    } catch (error) {
      log("error", "audit.not_closed", { reason: messageOf(error), ...this.#outage?.entry() });
    } finally {
      file.close();
    }
  }

  #run(): void {
    this.#running ??= this.#drain().finally(() => this.#goOn());
  }

  /** What comes after what was under way. */
  #goOn(): void {
    this.#running = undefined;
    if (this.#outage !== undefined) this.#scheduleRetry();
    else if (this.#next !== undefined || this.#rotationIsWanted) this.#run();
  }

  async #drain(): Promise<void> {
    // What else becomes ready in this turn of the event loop shares the write.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.#next !== undefined && this.#outage === undefined) {
      const batch = this.#next;
      this.#next = undefined;
      await this.#writeBatch(batch);
    }
    if (this.#outage !== undefined) return;
    const isDue = this.#isRotationDue();
    this.#rotationIsWanted = false;
    if (isDue) await this.#rotate();
  }

  async #writeBatch(batch: Batch): Promise<void> {
    const { policy, onWritten, writeLimitMs = WRITE_LIMIT_MS } = this.#options;
    const late = new RangeError(`a write has not returned for ${writeLimitMs} ms`);
    const timer = setTimeout(() => this.#fail(late, batch), writeLimitMs);
    try {
      const { syncsAlways } = policy();
      const checkpoint = await this.#append(batch.entries, syncsAlways);
      if (checkpoint !== undefined && !syncsAlways) this.#syncLater();
      batch.isWritten.resolve(true);
      onWritten(checkpoint);
    } catch (error) {
      this.#fail(error, batch);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Writes records, and only then counts them. @returns the position of the last checkpoint among them */
  async #append(entries: readonly Entry[], isSynced: boolean): Promise<Position | undefined> {
    const time = this.#options.now();
    const lines: Buffer[] = [];
    let position = this.#position;
    let checkpoint: Position | undefined;
    for (const entry of entries) {
      const next = recordAfter(position, time, entry);
      lines.push(next.line);
      position = next.position;
      if (entry.type === "checkpoint") checkpoint = position;
    }
    await this.#options.file.append(Buffer.concat(lines), isSynced);
    this.#position = position;
    return checkpoint;
  }

  /** Nobody waits for the disk; but where it fails, what comes next is not trusted to it. */
  #syncLater(): void {
    this.#syncing = this.#syncing
      .then(() => this.#options.file.sync())
      .catch((error: unknown) => this.#fail(error));
  }

  #fail(error: unknown, batch?: Batch): void {
    const outage = this.#outage ?? this.#beginOutage(messageOf(error));
    for (const missed of [batch, this.#next]) if (missed !== undefined) this.#miss(missed, outage);
    this.#next = undefined;
    if (this.#running === undefined) this.#scheduleRetry();
  }

  #beginOutage(reason: string): Outage {
    const outage = new Outage(this.#options.now(), reason);
    this.#outage = outage;
    this.#failures += 1;
    this.#options.log("error", "audit.failed", { file: this.#options.file.path, reason });
    return outage;
  }

  #miss(batch: Batch, outage: Outage): void {
    // One that was late, and failed in the end, was told of already.
    if (batch.isMissed) return;
    batch.isMissed = true;
    const { goesOn } = this.#options.policy();
    for (const entry of batch.entries) outage.miss(entry, goesOn);
    if (goesOn) batch.isWritten.resolve(false);
    else batch.isWritten.reject(this.unavailable(outage));
  }

  #scheduleRetry(): void {
    clearTimeout(this.#retry);
    if (this.#isClosing) return;
    this.#retry = setTimeout(() => {
      this.#running ??= this.#endOutage().finally(() => this.#goOn());
    }, this.#options.retryMs ?? RETRY_MS).unref();
  }

  async #endOutage(): Promise<void> {
    const outage = this.#outage;
    if (outage === undefined) return;
    const gap = outage.entry();
    try {
      await this.#append([gap], true);
    } catch {
      // The first reason was told, and whoever asks is told it.
      return;
    }
    this.#outage = undefined;
    const { type, ...told } = outage.entry();
    this.#options.log("warning", "audit.written_again", told);
    const more = outage.entryAfter(gap);
    if (more !== undefined) {
      // Before everything that is recorded again. Where it is missed, it is counted in the next outage.
      this.add(more).catch(() => {});
    }
    this.#options.onWritten();
  }

  #isRotationDue(): boolean {
    const { file, policy } = this.#options;
    const isFull = file.size >= Math.max(policy().maxBytes, this.#rotateAt);
    return this.#position.n > this.#first && (this.#rotationIsWanted || isFull);
  }

  async #rotate(): Promise<void> {
    const { file, now, log, policy, onRotated } = this.#options;
    try {
      await this.#syncing;
      const kept = file.nameToKeep(now());
      const { trail } = this.#position;
      const next = recordAfter(this.#position, now(), { type: "begin", trail, former: kept });
      await file.rotate(kept, next.line);
      this.#position = next.position;
      this.#first = next.position.n;
      this.#rotateAt = 0;
      log("info", "audit.rotated", { kept, record: next.position.n });
      onRotated();
    } catch (error) {
      // The file that is there can still be written to.
      this.#rotateAt = file.size + policy().maxBytes / 16;
      log("error", "audit.rotation_failed", { reason: messageOf(error) });
    }
  }
}
