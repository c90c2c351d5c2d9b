import assert from "node:assert/strict";
import type { HttpServer } from "../../lib/http/http_server.ts";

const GRACE_MS = 120_000;

/** Stops a server on which nothing is left, so that it needs none of its grace. */
export async function assertStopsByItself(server: HttpServer): Promise<void> {
  const start = performance.now();
  await server.stop(GRACE_MS);
  assert.ok(performance.now() - start < GRACE_MS / 2, "it stopped only when the grace was over");
}
