import type { Settings } from "./settings.ts";

/** The audit trail of signatures. */
export interface AuditConfig {
  readonly file: string;
  /** When records are on the disk for certain: before each answer, or at each checkpoint. */
  readonly sync: "always" | "checkpoint";
  /** Seconds after which, and records after which, the token signs what was recorded. */
  readonly checkpointSeconds: number;
  readonly checkpointRecords: number;
  /** Size of a file at which the next one begins. */
  readonly maxBytes: number;
  /** What becomes of signatures that cannot be recorded. */
  readonly onFailure: "stop" | "continue";
}

/** The settings that mean nothing without `AUDIT_FILE`. */
const DETAILS: readonly string[] = [
  "AUDIT_SYNC",
  "AUDIT_CHECKPOINT_SECONDS",
  "AUDIT_CHECKPOINT_RECORDS",
  "AUDIT_MAX_BYTES",
  "AUDIT_ON_FAILURE",
];
export const AUDIT_SETTINGS: readonly string[] = ["AUDIT_FILE", ...DETAILS];

const MIB = 1024 ** 2;
const DAY_SECONDS = 86_400;

/** @returns `undefined` where no trail is wanted */
export function readAudit(settings: Settings): AuditConfig | undefined {
  const file = settings.text("AUDIT_FILE");
  const config: AuditConfig = {
    file: file ?? "",
    sync: settings.oneOf("AUDIT_SYNC", ["always", "checkpoint"], "checkpoint"),
    checkpointSeconds: settings.integer("AUDIT_CHECKPOINT_SECONDS", 60, 1, DAY_SECONDS),
    checkpointRecords: settings.integer("AUDIT_CHECKPOINT_RECORDS", 1_000, 1, 1_000_000),
    maxBytes: settings.integer("AUDIT_MAX_BYTES", 64 * MIB, 64 * 1024, 1024 * MIB),
    onFailure: settings.oneOf("AUDIT_ON_FAILURE", ["stop", "continue"], "stop"),
  };
  if (file !== undefined) return Object.freeze(config);
  for (const name of DETAILS) {
    if (settings.text(name) === undefined) continue;
    settings.mistake(`${name} is for the audit trail, and AUDIT_FILE does not say where that is.`);
  }
  return undefined;
}
