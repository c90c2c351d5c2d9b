import { randomUUID } from "node:crypto";
import type { IncomingMessage } from "node:http";

export const REQUEST_ID_HEADER = "x-request-id";

/** What may stand in a log line and a header as it is. */
const GOOD_ID = /^[\w.:@+/=-]{1,128}$/;

/** The id that the client, or a proxy before us, gave the request; a new one where it gave none, or a bad one. */
export function requestIdOf({ headers }: IncomingMessage): string {
  const given = headers[REQUEST_ID_HEADER];
  return typeof given === "string" && GOOD_ID.test(given) ? given : randomUUID();
}
