/** The checks, in their order. */
export type CheckName =
  | "configuration"
  | "access"
  | "module"
  | "initialization"
  | "token"
  | "pin"
  | "sessions"
  | "mechanism"
  | "key"
  | "certificate"
  | "clock"
  | "thread-pool"
  | "latency"
  | "signature";

export type Status = "ok" | "warning" | "failure" | "skipped";

/** What came of a check, or of a part of it. */
export interface Outcome {
  readonly status: Status;
  /** What was found, without a full stop. */
  readonly found: string;
  /** The next thing to do, a sentence. */
  readonly advice?: string;
  /** Where it belongs to another check than the one that found it out. */
  readonly check?: CheckName;
}

/** An outcome, and what it is about; as it stands in the JSON. */
export interface Finding extends Outcome {
  readonly check: CheckName;
  /** The label of the key pair, where the check is about one. */
  readonly credential?: string;
}

export function ok(found: string): Outcome {
  return { status: "ok", found };
}

export function warning(found: string, advice: string): Outcome {
  return { status: "warning", found, advice };
}

export function failure(found: string, advice: string): Outcome {
  return { status: "failure", found, advice };
}

export function skipped(found: string, advice?: string): Outcome {
  return { status: "skipped", found, ...(advice === undefined ? {} : { advice }) };
}

/** A check cannot be made, since one before it did not give what it needs. */
export class NeedError extends Error {
  readonly need: string;

  /** @param need completes "not checked: needs …" */
  constructor(need: string) {
    super(`Cannot check: needs ${need}`);
    this.name = "NeedError";
    this.need = need;
  }
}

/** @throws NeedError where there is no value */
export function need<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new NeedError(what);
  return value;
}
