import assert from "node:assert/strict";
import { ServiceStartError, startServiceProcess } from "../../dev/service_process.ts";
import type { ExitCode } from "../../lib/exit_codes.ts";

/** What a service that cannot start says on standard error. */
export async function complaintOf(environment: Record<string, string>, code: ExitCode): Promise<string> {
  try {
    const service = await startServiceProcess({ environment });
    await service.stop();
    return "it started";
  } catch (error) {
    assert.ok(error instanceof ServiceStartError);
    assert.equal(error.ending?.code, code);
    return error.ending?.complaint ?? "";
  }
}
