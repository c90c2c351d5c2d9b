import assert from "node:assert/strict";
import { test } from "node:test";
import { startThrowawayService } from "../../dev/throwaway_service.ts";
import { EXIT } from "../../lib/exit_codes.ts";
import { temporaryDirectory } from "../support/temporary.ts";

test("a service that cannot tell systemd anything serves all the same", async () => {
  const service = await startThrowawayService(temporaryDirectory(), { NOTIFY_SOCKET: "/nowhere/notify" });
  assert.equal((await fetch(`${service.url}/readyz`)).status, 200);
  const { code, signal } = await service.stop();
  assert.deepEqual([code, signal], [EXIT.ok, null]);
});
