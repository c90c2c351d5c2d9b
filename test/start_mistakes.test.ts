import assert from "node:assert/strict";
import { test } from "node:test";
import { EXIT } from "../lib/exit_codes.ts";
import { complaintOf } from "./support/complaint.ts";

test("all mistakes of the configuration are named at once, and the PIN in none of them", async () => {
  const complaint = await complaintOf(
    {
      HSM_MODULE: "/usr/lib/nowhere.so",
      HSM_PIN: "secret-4711",
      HSM_KEYLABEL: "x",
      PORT: "http",
      DIGEST: "SHA-1",
    },
    EXIT.usage,
  );
  assert.match(complaint, /^hsm-signer: HSM_KEYLABEL is not a setting/m);
  assert.match(complaint, /^hsm-signer: PORT must be/m);
  assert.match(complaint, /^hsm-signer: DIGEST must be/m);
  assert.doesNotMatch(complaint, /4711/);
});

test("without a module the service does not start, and never falls back to SoftHSM2", async () => {
  assert.match(
    await complaintOf({ HSM_PIN: "1234" }, EXIT.usage),
    /HSM_MODULE must name the PKCS#11 library/,
  );
});
