import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { signatureAlgorithm } from "../../lib/algorithms.ts";
import { softHsmBackEnd } from "../support/back_ends.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { openTestToken } from "../support/token.ts";
import { foreignModule } from "./foreign_module.ts";

test("what the environment does not say of a foreign module is named in one sentence", () => {
  const isSentence = (...names: string[]) => ({
    message: new RegExp(
      `^Set ${names.map((name) => `${name} \\([^)]+\\)`).join(" and ")}, and HSM_TEST_TOKEN_LABEL`,
    ),
  });
  assert.throws(() => foreignModule({}), isSentence("HSM_TEST_MODULE", "HSM_TEST_PIN_FILE"));
  assert.throws(() => foreignModule({ HSM_TEST_MODULE: "/a" }), isSentence("HSM_TEST_PIN_FILE"));
  assert.throws(
    () => foreignModule({ HSM_TEST_MODULE: "/a", HSM_TEST_PIN_FILE: "/nowhere/pin" }),
    /^Error: Cannot read HSM_TEST_PIN_FILE: ENOENT/,
  );
});

test("on a foreign module the tests destroy their own keys, which nobody can guess, and no other ones", async () => {
  const softHsm = softHsmBackEnd();
  const pinFile = join(temporaryDirectory(), "pin");
  writeFileSync(pinFile, `${softHsm.pin}\n`);
  const { backEnd, prefix, destroyKeys } = foreignModule({
    HSM_TEST_MODULE: softHsm.modulePath,
    HSM_TEST_PIN_FILE: pinFile,
    HSM_TEST_TOKEN_LABEL: softHsm.label,
    PORT: "80",
    LD_LIBRARY_PATH: "/somewhere",
  });
  assert.match(prefix, /-[\da-f]{32}-$/);
  const p256 = signatureAlgorithm("P-256", "SHA-256");
  const labels = [backEnd.keyLabel("twice"), backEnd.keyLabel("twice"), "somebody's", `${prefix}unknown`];
  const token = openTestToken(backEnd);
  for (const label of labels) await token.generateKeyPair(label, p256);
  await token.close(1_000);
  assert.equal(destroyKeys(), 4);
  assert.equal(destroyKeys(), 0);
  const again = openTestToken(softHsm);
  assert.deepEqual([...again.keyLabels()].sort(), [`${prefix}unknown`, "somebody's"].sort());
  await again.close(1_000);
  // A service gets what its module may need, and no settings but these.
  assert.deepEqual(backEnd.settings, {
    HSM_MODULE: softHsm.modulePath,
    HSM_PIN_FILE: pinFile,
    HSM_TOKEN_LABEL: softHsm.label,
    LD_LIBRARY_PATH: "/somewhere",
  });
});
