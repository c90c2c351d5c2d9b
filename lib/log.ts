import { messageOf, SignerError } from "./errors.ts";

/** From the least important on. */
export const LOG_LEVELS = ["info", "warning", "error"] as const;

export type LogLevel = (typeof LOG_LEVELS)[number];

/** Writes one event. `fields` must be fit for a log: no PIN, no token, no byte of a document. */
export type Log = (level: LogLevel, event: string, fields?: Record<string, unknown>) => void;

export interface JsonLogOptions {
  readonly now?: () => Date;
  /** The least important level that is written; asked each time, since it may change under way. */
  readonly level?: () => LogLevel;
}

/**
 * A log of one JSON object a line: `time` (ISO 8601), `level`, `event` and the fields. Errors are written
 * as code and message, with the message of their cause, never with what they carry besides.
 *
 * @param write takes one line, with its line feed
 */
export function jsonLog(write: (line: string) => void, options: JsonLogOptions = {}): Log {
  const { now = () => new Date(), level: least = () => "info" } = options;
  return (level, event, fields = {}) => {
    if (LOG_LEVELS.indexOf(level) < LOG_LEVELS.indexOf(least())) return;
    write(logLine(now(), level, event, fields));
  };
}

/** One event as a line, with its line feed. */
export function logLine(time: Date, level: LogLevel, event: string, fields: Record<string, unknown>): string {
  const line = { time: time.toISOString(), level, event, ...fields };
  // A function that looks at each value makes this several times as slow; a request's line needs none.
  const text = isPlain(fields) ? JSON.stringify(line) : JSON.stringify(line, plainErrors);
  return `${text}\n`;
}

function isPlain(fields: Record<string, unknown>): boolean {
  for (const name in fields) if (typeof fields[name] === "object") return false;
  return true;
}

function plainErrors(_key: string, value: unknown): unknown {
  if (!(value instanceof Error)) return value;
  return {
    ...(value instanceof SignerError ? { code: value.code } : { name: value.name }),
    message: value.message,
    ...(value.cause instanceof Error ? { cause: messageOf(value.cause) } : {}),
  };
}
