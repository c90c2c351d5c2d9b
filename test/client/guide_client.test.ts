import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { test } from "node:test";
import { signatureAlgorithm } from "../../lib/algorithms.ts";
import { generatePKCS7 } from "../browser/pages/guide_client.js";
import { startSoftwareService } from "../support/http_service.ts";
import { judgeSignedData } from "../support/judges.ts";

test("the guide's own client, with its query and its own limit, gets containers that the judges find valid", async () => {
  const service = await startSoftwareService();
  try {
    for (const length of [1, 1_000, 60_000, 100_000]) {
      const content = randomBytes(length);
      const hash = createHash("sha256").update(content).digest("hex").toUpperCase();
      const fileContents = new Uint8Array(content).buffer;
      const container = await generatePKCS7(service.url, { hash, fileContents });
      assert.ok(container instanceof ArrayBuffer);
      const verdicts = judgeSignedData(
        new Uint8Array(container),
        content,
        service.certificatePem,
        signatureAlgorithm("P-256", "SHA-256"),
      );
      for (const { judge, valid, text } of verdicts) assert.ok(valid, `${length} bytes, ${judge}: ${text}`);
    }
    const tooLong = { hash: "00", fileContents: new ArrayBuffer(1_000_000) };
    await assert.rejects(generatePKCS7(service.url, tooLong), /Maximum call stack size exceeded/);
  } finally {
    await service.server.stop(0);
  }
});
