import assert from "node:assert/strict";
import { join } from "node:path";
import { beforeEach, test } from "node:test";
import { EXIT } from "../../lib/exit_codes.ts";
import { cloudHsmBackEnd } from "../support/back_ends.ts";
import { runCommand } from "../support/command.ts";
import { temporaryDirectory } from "../support/temporary.ts";

/** What a cluster does while a key pair is made. */
const backEnd = cloudHsmBackEnd();
const { simulator } = backEnd;
const settings = {
  ...backEnd.settings,
  HSM_KEY_ALGORITHM: "P-256",
  CERT_DIR: join(temporaryDirectory(), "certs"),
};
beforeEach(() => simulator.order());

async function privateKeys(label: string): Promise<readonly unknown[]> {
  const { stdout } = await runCommand(["list", "--json"], { ...settings, HSM_KEY_LABEL: label });
  const { credentials } = JSON.parse(stdout) as { credentials: { label: string; keys: unknown[] }[] };
  return credentials.find((credential) => credential.label === label)?.keys ?? [];
}

test("a new key that the cluster does not let anybody use yet is waited for, and that is said", async () => {
  simulator.order({ quorum: { delayMs: 1_500, refusals: 3 } });
  const { code, stderr, stdout } = await runCommand(["provision", "--key-label", "quorum"], settings);
  assert.equal(code, EXIT.ok, stderr);
  assert.match(stderr, /The new key cannot be used yet, its cluster is not through with it: \d+ s/);
  assert.match(stdout, /proven by a signature/);
});

test("a pair that is slow in being made is waited for, and it is said that the HSM works", async () => {
  simulator.order({ calls: [{ on: "C_GenerateKeyPair", latencyUs: 4_000_000 }] });
  const { code, stderr } = await runCommand(["provision", "--key-label", "slow"], settings);
  assert.equal(code, EXIT.ok, stderr);
  assert.match(stderr, /Still working on the key pair, for \d+ s/);
});

test("a pair that cannot be made leaves nothing behind, and the exit code tells", async () => {
  simulator.order({ calls: [{ on: "C_GenerateKeyPair", returns: "CKR_FUNCTION_FAILED" }] });
  const { code, stderr, stdout } = await runCommand(["provision", "--key-label", "failed"], settings);
  assert.deepEqual([code, stdout], [EXIT.failed, ""]);
  assert.match(stderr, /Cannot generate the key pair "failed": CKR_FUNCTION_FAILED/);
  simulator.order();
  assert.deepEqual(await privateKeys("failed"), []);
});

test("a pair that has to be waited for is made once", async () => {
  simulator.order({ quorum: { refusals: 2 } });
  const made = simulator.calls("C_GenerateKeyPair");
  const { code } = await runCommand(["provision", "--key-label", "again"], settings);
  assert.equal(code, EXIT.ok);
  assert.equal(simulator.calls("C_GenerateKeyPair") - made, 1);
  assert.equal((await privateKeys("again")).length, 1);
});
