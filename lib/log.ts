import { messageOf, SignerError } from "./errors.ts";

export type LogLevel = "info" | "warning" | "error";

/** Writes one event. `fields` must be fit for a log: no PIN, no token, no byte of a document. */
export type Log = (level: LogLevel, event: string, fields?: Record<string, unknown>) => void;

/**
 * A log of one JSON object a line: `time` (ISO 8601), `level`, `event` and the fields. Errors are written
 * as code and message, with the message of their cause, never with what they carry besides.
 *
 * @param write takes one line, with its line feed
 */
export function jsonLog(write: (line: string) => void, now: () => Date = () => new Date()): Log {
  return (level, event, fields = {}) => {
    write(`${JSON.stringify({ time: now().toISOString(), level, event, ...fields }, plainErrors)}\n`);
  };
}

function plainErrors(_key: string, value: unknown): unknown {
  if (!(value instanceof Error)) return value;
  return {
    ...(value instanceof SignerError ? { code: value.code } : { name: value.name }),
    message: value.message,
    ...(value.cause instanceof Error ? { cause: messageOf(value.cause) } : {}),
  };
}
