import type { Settings } from "./settings.ts";

export const LIMIT_SETTINGS: readonly string[] = ["LIMIT_RATE", "LIMIT_BURST", "LIMIT_IN_FLIGHT"];

/** What one caller may take of the service; `undefined` for as much as there is. */
export interface LimitsConfig {
  /** Requests a second, in the long run. */
  readonly rate: number | undefined;
  /** Requests at once after a pause. */
  readonly burst: number;
  /** Requests that are not answered yet. */
  readonly inFlight: number | undefined;
}

export function readLimits(settings: Settings): LimitsConfig {
  const rate = settings.integer("LIMIT_RATE", 0, 1, 1_000_000);
  const burst = settings.integer("LIMIT_BURST", rate, 1, 1_000_000);
  const inFlight = settings.integer("LIMIT_IN_FLIGHT", 0, 1, 100_000);
  if (rate === 0 && settings.text("LIMIT_BURST") !== undefined) {
    settings.mistake("LIMIT_BURST needs LIMIT_RATE.");
  }
  return Object.freeze({ rate: rate || undefined, burst, inFlight: inFlight || undefined });
}
