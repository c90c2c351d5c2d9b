import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type SignatureAlgorithm, signatureAlgorithm } from "../../lib/algorithms.ts";
import type { CheckpointSigner } from "../../lib/audit/checkpoint.ts";
import type { Line } from "../../lib/audit/lines.ts";
import { type SignatureFacts, Trail } from "../../lib/audit/trail.ts";
import type { TrailSource } from "../../lib/audit/verify.ts";
import type { AuditConfig } from "../../lib/config/audit.ts";
import { type RecordedEvent, recordingLog } from "./recording_log.ts";
import { softwareCredential } from "./software.ts";
import { temporaryDirectory } from "./temporary.ts";

/** A signer of checkpoints with a software key. */
export async function softwareCheckpointSigner(
  algorithm: SignatureAlgorithm = signatureAlgorithm("P-256", "SHA-256"),
): Promise<CheckpointSigner> {
  const { label, signer, chain } = await softwareCredential(algorithm);
  return { credential: label, signer, certificates: chain.embedded };
}

/** A place for a trail, and what opens it. */
export interface TrailStage {
  readonly file: string;
  readonly events: RecordedEvent[];
  open(config?: Partial<AuditConfig>): Promise<Trail>;
  text(): string;
}

/** @param signer of the checkpoints */
export function trailStage(signer: CheckpointSigner, now: () => Date = () => new Date()): TrailStage {
  const file = join(temporaryDirectory(), "audit.jsonl");
  const { log, events } = recordingLog();
  return {
    file,
    events,
    open: (config = {}) =>
      Trail.open({
        config: {
          file,
          sync: "checkpoint",
          checkpointSeconds: 3_600,
          checkpointRecords: 1_000_000,
          maxBytes: 1024 ** 3,
          onFailure: "stop",
          ...config,
        },
        now,
        log,
        signer: () => signer,
        retryMs: 5,
      }),
    text: () => readFileSync(file, "utf8"),
  };
}

/** Something that was signed, another one for each number. */
export function signatureFacts(number: number): SignatureFacts {
  return {
    request: `request-${number}`,
    caller: `caller "${number % 3}"`,
    credential: "software",
    hash: "SHA-256",
    digest: number.toString(16).padStart(64, "0"),
    certificate: "0a",
  };
}

/** The bytes of a file of a trail, as if they stood in one. */
export function sourceOf(bytes: Uint8Array, name = "audit.jsonl"): TrailSource {
  return {
    name,
    async *lines() {
      yield linesOf(bytes);
    },
  };
}

export function linesOf(bytes: Uint8Array): readonly Line[] {
  const lines: Line[] = [];
  for (let offset = 0; offset < bytes.length; ) {
    const end = bytes.indexOf(0x0a, offset);
    const next = end === -1 ? bytes.length : end + 1;
    lines.push({ bytes: Buffer.from(bytes.subarray(offset, next)), offset, isWhole: end !== -1 });
    offset = next;
  }
  return lines;
}
