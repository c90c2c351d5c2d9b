import type { Change } from "../change.ts";
import type { AuditConfig } from "../config/audit.ts";
import type { Log } from "../log.ts";
import type { CheckpointSigner } from "./checkpoint.ts";
import { type SignatureFacts, Trail, type TrailState } from "./trail.ts";

export interface AuditOptions {
  readonly now: () => Date;
  readonly log: Log;
  /** Who signs checkpoints now. */
  signer(): CheckpointSigner;
}

/** How long the end of a trail may wait for its checkpoint, in milliseconds. */
const CLOSE_LIMIT_MS = 5_000;

/** The trail that is configured, where one is; without one there is nothing to do, and nothing that fails. */
export class Audit {
  readonly #options: AuditOptions;
  #trail: Trail | undefined;

  constructor(options: AuditOptions) {
    this.#options = options;
  }

  get state(): TrailState | undefined {
    return this.#trail?.state;
  }

  /**
   * Opens the trail of a configuration, unless it is open already. Its change is through when the former trail is
   * ended and a checkpoint is made.
   *
   * @throws SignerError `ERR_AUDIT_UNAVAILABLE`, `ERR_AUDIT_BROKEN`
   */
  async prepare(config: AuditConfig | undefined): Promise<Change> {
    const former = this.#trail;
    if (config !== undefined && former?.isIn(config.file)) {
      return {
        commit: () => {
          former.configure(config);
          return former.checkpoint("reload");
        },
        discard: async () => {},
      };
    }
    const next = config === undefined ? undefined : await Trail.open({ ...this.#options, config });
    return {
      commit: async () => {
        this.#trail = next;
        await Promise.all([former?.close(CLOSE_LIMIT_MS), next?.checkpoint("start")]);
      },
      discard: async () => next?.abandon(),
    };
  }

  /** For whoever may ask whether the service can sign, and why not. */
  get facts(): Record<string, unknown> {
    if (this.#trail === undefined) return {};
    const { record, checkpoint, failure } = this.#trail.state;
    return { audit: { record, checkpoint, ...(failure === undefined ? {} : { failure }) } };
  }

  get isOn(): boolean {
    return this.#trail !== undefined;
  }

  /** @throws SignerError `ERR_AUDIT_UNAVAILABLE` when a signature could not be recorded now, and has to be */
  requireAvailable(): void {
    this.#trail?.requireAvailable();
  }

  /**
   * Resolves when a signature may be answered.
   *
   * @param signedData what is about to be answered, DER
   * @throws SignerError `ERR_AUDIT_UNAVAILABLE`
   */
  async record(facts: SignatureFacts, signedData: Uint8Array): Promise<void> {
    await this.#trail?.record(facts, signedData);
  }

  /** Has the trail go on in a new file. */
  rotate(): void {
    this.#trail?.rotate();
  }

  /** Ends the trail with a checkpoint, if the token signs within `limitMs`. */
  async close(limitMs: number): Promise<void> {
    await this.#trail?.close(limitMs);
  }
}
