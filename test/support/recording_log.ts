import type { Log } from "../../lib/log.ts";

export interface RecordedEvent {
  readonly level: string;
  readonly event: string;
  readonly fields: unknown;
}

/** Collects what is logged. */
export function recordingLog(): { log: Log; events: RecordedEvent[] } {
  const events: RecordedEvent[] = [];
  return { log: (level, event, fields) => void events.push({ level, event, fields }), events };
}
