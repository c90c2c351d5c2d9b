import type { ErrorCode } from "../../lib/errors.ts";

/** For `assert.throws` and `assert.rejects`: an error of the service with this code, and a message like this. */
export const fails =
  (code: ErrorCode, message: RegExp = /^/) =>
  (error: unknown): boolean =>
    error instanceof Error && "code" in error && error.code === code && message.test(error.message);
